"""One lab with a controller, two hosts and everything that policies can ask for; tests leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from topologies.lab import Lab

from support.demo_site import SharedSite, build_site


@pytest.fixture(scope="session")
def shared_site() -> Iterator[SharedSite]:
    """The lab of this folder's tests, built once."""
    with Lab() as lab:
        yield build_site(lab)


@pytest.fixture(scope="module")
def web1_moves(shared_site: SharedSite) -> Iterator[None]:
    """acme/web1 moves in a module: what others ask of it afterwards is not within half a minute of a move.

    So long its connections are taken up in their middle, and there are flows for that.
    """
    yield
    shared_site.plug_anew("acme-web1")


@pytest.fixture
def site(shared_site: SharedSite) -> Iterator[SharedSite]:
    """The lab, with all in force before the test and nothing left to do after it."""
    shared_site.settle()
    yield shared_site
    shared_site.settle()
