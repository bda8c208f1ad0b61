"""Fixtures that tests of every kind share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for `topologies`

from support.dummy import DummySwitch, running_dummy_switch  # noqa: E402

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to write golden files anew."""
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/*/*.flows anew")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what waits for switches begin first, so that no long file is left for the end."""
    items.sort(key=lambda item: not {"service", "net", "ovs"} & set(item.path.parts))


@pytest.fixture
def dummy_switch(tmp_path: Path) -> Iterator[DummySwitch]:
    """A running Open vSwitch on the dummy datapath, without bridges."""
    with running_dummy_switch(tmp_path / "ovs") as switch:
        yield switch
