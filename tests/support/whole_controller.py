"""A whole controller in a thread of the test's own process, on a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from support.dummy import DummySwitch
from support.ovsdb_host import free_port
from support.site import STIRRING
from zonewall.reconciler.controller import Controller
from zonewall.reconciler.doors import open_doors
from zonewall.store.options import Options

PATIENCE_S = 40.0


def one_bridge(folder: Path, datapath_id: int = 0xA1, **said: Any) -> Path:
    """Write documents of one host ``hv1`` with ``br-int``, of which more can be said; return the folder."""
    folder.mkdir(exist_ok=True)
    bridge = {"attachment": "fabric", "datapath-id": f"{datapath_id:016x}", **said}
    end: dict[str, Any] = {"name": "vm", "tenant": "acme", "mac": "52:54:00:00:00:01", "ips": ["10.0.0.1"]}
    end["port"] = {"name": "vm"}
    inventory = {"kind": "inventory", "hosts": {"hv1": {"bridges": {"br-int": bridge}}}, "endpoints": [end]}
    tenant = {"kind": "tenant", "tenant": "acme"}
    (folder / "all.yaml").write_text(yaml.safe_dump_all([inventory, tenant]))
    return folder


class WholeController:
    """A controller at work; ``status`` and ``run`` are called from the test's thread."""

    def __init__(self, directory: Path, options: Options) -> None:
        self.controller = Controller(directory, options, open_doors(options))  # who comes early waits
        self.loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.loop.run_until_complete(self.controller.run(self._stop))
        except BaseException as error:
            self.error = error

    @property
    def has_ended(self) -> bool:
        """Say whether it has ended, by itself or because it was told to."""
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """Return its status document."""

        async def look() -> dict[str, Any]:
            return self.controller.status()

        return asyncio.run_coroutine_threadsafe(look(), self.loop).result(PATIENCE_S)

    def bridge(self) -> dict[str, Any]:
        """Return the status of its only bridge."""
        (row,) = self.status()["bridges"]
        return dict(row)

    def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until its only bridge's status is as it should be, and return it."""
        (row,) = self.until_status(lambda status: condition(status["bridges"][0]))["bridges"]
        return dict(row)

    def until_status(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until its status is as it should be, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        return status

    def peers(self) -> list[str]:
        """Return where its sessions' bridges are."""
        return [session.peer_address for session in self.controller.admissions.sessions.values()]

    def until_ended(self) -> None:
        """Wait until it has ended by itself."""
        self._thread.join(PATIENCE_S)
        assert self.has_ended

    def close(self) -> None:
        """Stop it; safe to call twice."""
        with contextlib.suppress(RuntimeError):  # its loop may be closed
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert self.has_ended
        self.loop.close()


@contextlib.contextmanager
def whole_controller(directory: Path, state: Path, **options: Any) -> Iterator[tuple[WholeController, str]]:
    """A controller that listens on loopback, and the address for bridges."""
    remote = f"tcp:127.0.0.1:{free_port()}"
    whole = WholeController(directory, Options(openflow=(remote,), state=state, **options))
    try:
        yield whole, remote
    finally:
        whole.close()


def is_settled(row: dict[str, Any]) -> bool:
    """Say of a bridge's row of the status whether it has what is wanted of it."""
    return row["state"] == "in-force" and not row["pending"]


def is_at_rest(switch: DummySwitch, row: dict[str, Any]) -> bool:
    """Say whether nothing is about to change, nor the row by which cached decisions end (decision 0041).

    ``row`` was told before the switch is asked: where both say the same, what went has been confirmed, too.
    """
    flows = switch.dump_flows("br-int")
    return is_settled(row) and row["flows"] == len(flows) and not any(STIRRING in flow for flow in flows)
