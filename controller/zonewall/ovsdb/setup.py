"""Makes a managed bridge's records what a firewall needs, and keeps them so (ovs-vswitchd.conf.db(5)).

A bridge that fails standalone forwards everything when it starts without flows; in-band control would
add flows of its own; with the default of one VLAN tag the fabric's inner tag could not be seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ovs.db import idl

from ovs import timeval
from zonewall.ovsdb.facts import column
from zonewall.ovsdb.loop import Wants
from zonewall.ovsdb.schema import DATABASE, MAX_TEXT
from zonewall.values.names import BridgeName, DatapathId

PROTOCOL = "OpenFlow15"

_EXPORT_S = 5
_EXPORTED_FLOWS = 8192
"""A flow is told of every few seconds, not with each packet."""

_RETRY_MS = 5000.0
_AGAIN_MS = 100.0


@dataclass(frozen=True, slots=True)
class BridgeSetup:
    """What a bridge's records are to be.

    Attributes:
        controller_target: added to the bridge's controllers, as in ovs-vsctl(8) ``set-controller``; None:
            the operator points the bridge at the controller.
        datapath_id: None leaves the choice to the switch.
        prefixes: by OpenFlow table number, the fields looked up by longest prefix first, at most three each
            (Flow_Table, ``prefixes``).
        vlan_limit: Open_vSwitch ``other_config:vlan-limit``; for the whole host.
        collector_set: number of the bridge's set of IPFIX collectors, 0 leaves all sets alone.
        collectors: ``ADDRESS:PORT`` of those in it; none: there is to be no such set.
    """

    controller_target: str | None = None
    datapath_id: DatapathId | None = None
    prefixes: Mapping[int, tuple[str, ...]] = field(default_factory=dict, hash=False)
    vlan_limit: int = 2
    collector_set: int = 0
    collectors: tuple[str, ...] = ()


Change = Callable[[Any], None]
"""Writes one difference within the transaction it is given."""


def differences(database: Any, row: Any, wanted: BridgeSetup) -> Iterator[Change]:
    """Give a change for each thing in the records that is not as wanted; none when all is.

    Args:
        database: an ``Idl`` that is in step with the host.
        row: the bridge's row in it.
    """
    if column(row, "fail_mode") != ["secure"]:
        yield lambda _txn: setattr(row, "fail_mode", ["secure"])
    protocols = column(row, "protocols")
    if PROTOCOL not in protocols:
        # No protocol named means the switch's own choice; from then on it is this one alone.
        yield lambda _txn: row.addvalue("protocols", PROTOCOL)
    options = {"disable-in-band": "true"}
    if wanted.datapath_id is not None:
        options["datapath-id"] = f"{wanted.datapath_id:016x}"
    yield from _keys(row, options)
    for root in database.tables[DATABASE].rows.values():
        yield from _keys(root, {"vlan-limit": str(wanted.vlan_limit)})
    yield from _controller(database, row, wanted.controller_target)
    for number, fields in wanted.prefixes.items():
        yield from _prefixes(database, row, number, fields)
    if wanted.collector_set:
        yield from _collectors(database, row, wanted.collector_set, wanted.collectors)


def _keys(row: Any, wanted: Mapping[str, str]) -> Iterator[Change]:
    """Set keys of ``other_config``; others' keys stay."""
    said = column(row, "other_config")
    for key, value in wanted.items():
        if said.get(key) != value:
            yield _set_key(row, key, value)


def _set_key(row: Any, key: str, value: str) -> Change:
    return lambda _txn: row.setkey("other_config", key, value)


def _controller(database: Any, row: Any, target: str | None) -> Iterator[Change]:
    if target is None:
        return
    rows = database.tables["Controller"].rows
    targets = {column(rows[number], "target") for number in column(row, "controller") if number in rows}
    if target not in targets:

        def add(txn: Any) -> None:
            new = txn.insert(database.tables["Controller"])
            new.target = target
            row.addvalue("controller", new.uuid)

        yield add


def _collectors(database: Any, row: Any, number: int, targets: tuple[str, ...]) -> Iterator[Change]:
    sets = [
        one
        for one in database.tables["Flow_Sample_Collector_Set"].rows.values()
        if column(one, "id") == number and column(one, "bridge") == row.uuid
    ]
    known = sets[0] if sets else None
    if not targets:
        if known is not None:
            yield lambda _txn: known.delete()
        return
    rows = database.tables["IPFIX"].rows
    exporter = None if known is None else next(
        (rows[one] for one in column(known, "ipfix") if one in rows), None
    )  # fmt: skip
    if exporter is not None and set(column(exporter, "targets")) == set(targets):
        return

    def change(txn: Any) -> None:
        made = exporter if exporter is not None else txn.insert(database.tables["IPFIX"])
        made.targets = list(targets)
        made.cache_active_timeout, made.cache_max_flows = [_EXPORT_S], [_EXPORTED_FLOWS]
        if known is None:
            new = txn.insert(database.tables["Flow_Sample_Collector_Set"])
            new.id, new.bridge, new.ipfix = number, row.uuid, [made.uuid]
        elif exporter is None:
            known.ipfix = [made.uuid]

    yield change


def _prefixes(database: Any, row: Any, number: int, fields: tuple[str, ...]) -> Iterator[Change]:
    rows = database.tables["Flow_Table"].rows
    known = rows.get(column(row, "flow_tables").get(number))
    if known is not None and set(column(known, "prefixes")) == set(fields):
        return

    def change(txn: Any) -> None:
        table = known if known is not None else txn.insert(database.tables["Flow_Table"])
        table.prefixes = list(fields)
        if known is None:
            row.setkey("flow_tables", number, table.uuid)

    yield change


class BridgeKeeper:
    """Carries out the wishes for one connected host, one transaction at a time.

    A wish stands: whoever changes the records afterwards has them changed back, not more often than every
    few seconds.
    """

    def __init__(self, database: Any, report: Callable[[BridgeName, bool, str | None], None]) -> None:
        """``report`` is told bridge, whether something was changed, and why it failed or None."""
        self._database = database
        self._report = report
        self._wishes: dict[BridgeName, BridgeSetup] = {}
        self._unsaid: set[BridgeName] = set()
        self._pending: tuple[BridgeName, Any] | None = None
        self._not_before_ms: dict[BridgeName, float] = {}
        self._stale = True

    def wish(self, bridge: BridgeName, wanted: BridgeSetup | None) -> None:
        """Want the bridge so from now on; None: leave it alone."""
        self._wishes.pop(bridge, None)
        self._not_before_ms.pop(bridge, None)
        self._unsaid.discard(bridge)
        if wanted is not None:
            self._wishes[bridge] = wanted
            self._unsaid.add(bridge)
        self._stale = True

    def changed(self) -> None:
        """The database changed: look again."""
        self._stale = True

    def run(self) -> None:
        """Go on with the transaction under way, or begin the next that is needed."""
        if self._pending is not None and not self._settled(*self._pending):
            return
        now = timeval.msec()
        if not self._stale and all(moment > now for moment in self._not_before_ms.values()):
            return
        self._stale = False
        self._not_before_ms = {name: at for name, at in self._not_before_ms.items() if at > now}
        rows = {column(row, "name"): row for row in self._database.tables["Bridge"].rows.values()}
        for bridge, wanted in self._wishes.items():
            if bridge not in rows or bridge in self._not_before_ms:
                continue
            changes = list(differences(self._database, rows[bridge], wanted))
            if changes:
                self._begin(bridge, changes)
                return
            if bridge in self._unsaid:
                self._unsaid.discard(bridge)
                self._report(bridge, False, None)

    def wait(self, wants: Wants) -> None:
        """Wait until a bridge may be tried again."""
        if self._pending is None and self._stale:
            wants.immediate_wake()
        for moment in self._not_before_ms.values():
            wants.timer_wait_until(moment)

    def _begin(self, bridge: BridgeName, changes: list[Change]) -> None:
        transaction = idl.Transaction(self._database)
        transaction.add_comment(f"zonewall: bridge {bridge}")
        for change in changes:
            change(transaction)
        self._pending = (bridge, transaction)
        self._stale = True
        self._settled(bridge, transaction)

    def _settled(self, bridge: BridgeName, transaction: Any) -> bool:
        """Say whether the transaction is over, and what came of it."""
        status = transaction.commit()
        if status == idl.Transaction.INCOMPLETE:
            return False
        self._pending = None
        if status == idl.Transaction.TRY_AGAIN:
            self._not_before_ms[bridge] = timeval.msec() + _AGAIN_MS
        elif status in (idl.Transaction.SUCCESS, idl.Transaction.UNCHANGED):
            self._not_before_ms[bridge] = timeval.msec() + _RETRY_MS
            self._unsaid.discard(bridge)
            self._report(bridge, True, None)
        else:
            self._not_before_ms[bridge] = timeval.msec() + _RETRY_MS
            self._report(bridge, False, _refusal(str(transaction.get_error())))
        return True


def _refusal(error: str) -> str:
    """Return the words of an OVSDB error (RFC 7047, section 3.1)."""
    try:
        said = json.loads(error)
        words = f"{said['error']}: {said['details']}"
    except (ValueError, KeyError, TypeError):
        words = error
    return " ".join(words.split())[:MAX_TEXT]
