"""One lab with a controller, two hosts and everything that policies can ask for; tests leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from topologies.lab import Lab

from support.demo_site import build_site
from support.site import Site


@pytest.fixture(scope="session")
def shared_site() -> Iterator[Site]:
    """The lab of this folder's tests, built once."""
    with Lab() as lab:
        yield build_site(lab)


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The lab, with all in force before the test and nothing left to do after it."""
    shared_site.settle()
    yield shared_site
    shared_site.settle()
