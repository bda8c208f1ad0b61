"""A port is in force by its bridge's word, on a real switch, while the database's is still on its way."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.dummy import running_dummy_switch
from support.ovsdb_host import free_port
from support.whole_controller import is_at_rest, is_settled, one_bridge, whole_controller
from zonewall.placement.observations import Observation, PortSeen

pytestmark = pytest.mark.ovs


class Held:
    """Keeps back what a database tells of ports' numbers."""

    def __init__(self, controller: Any) -> None:
        self.waiting: list[Observation] = []
        self._take = controller.gate.observed
        self._lock = threading.Lock()
        self.is_open = False
        controller.gate.observed = self

    def __call__(self, seen: Observation) -> None:
        with self._lock:
            if not self.is_open and isinstance(seen, PortSeen) and seen.name == "vm" and seen.ofport:
                self.waiting.append(seen)
                seen = replace(seen, ofport=None)  # a row and its number may come at once
        self._take(seen)

    def let_go(self) -> None:
        with self._lock:
            self.is_open = True
            for seen in self.waiting:
                self._take(seen)


def test_a_plugged_port_is_in_force_before_the_database_tells_its_number(tmp_path: Path) -> None:
    database = f"tcp:127.0.0.1:{free_port()}"
    directory = one_bridge(tmp_path / "policies")
    with (
        whole_controller(directory, tmp_path / "state", ovsdb=(database,)) as (whole, remote),
        running_dummy_switch(tmp_path / "switch", "hv1") as switch,
    ):
        held = Held(whole.controller)
        switch.add_bridge("br-int", datapath_id=0xA1)
        switch.vsctl("set-manager", database)
        switch.vsctl("set-controller", "br-int", remote)
        whole.until(is_settled)
        switch.add_port("br-int", "vm", ofport=7)
        placed = whole.until_status(lambda now: held.waiting and places(now) == [("active", 7)])
        assert any("in_port=7" in line for line in switch.ofctl("dump-flows", "br-int").splitlines())

        before = whole.until(partial(is_at_rest, switch))["changes_applied"]
        held.let_go()
        time.sleep(0.3)
        after = whole.until_status(lambda now: is_settled(now["bridges"][0]))
        assert places(after) == places(placed)
        assert after["bridges"][0]["changes_applied"] == before


def places(status: dict[str, Any]) -> list[tuple[str, int]]:
    """Return where the only endpoint is."""
    return [
        (place["state"], place["ofport"]) for endpoint in status["endpoints"] for place in endpoint["places"]
    ]
