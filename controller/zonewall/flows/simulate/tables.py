"""The flow tables of one bridge, checked as the bridge itself would check them, ready to be searched."""

from __future__ import annotations

from collections.abc import Iterable

from zonewall.flows.simulate.checks import check_flow
from zonewall.flows.simulate.classifier import Classifier, Found
from zonewall.pipeline.model import BridgeProgram, Flow, GroupEntry


class FlowTables:
    """All that one bridge holds; each table is sorted for the search when it is first asked.

    Raises:
        EncodingError: when made: Open vSwitch would refuse a flow (prerequisites, a group or meter that is
            not there, a field that cannot be written, a goto that leads back, a mixed conjunction). When a
            table is first searched: two flows of one key.
    """

    def __init__(self, program: BridgeProgram, ports: Iterable[int] | None = None) -> None:
        """Check every flow.

        Args:
            program: flows, groups and meters.
            ports: OpenFlow ports that exist and are up; None lets every port exist.
        """
        self.ports = None if ports is None else frozenset(ports)
        self.groups: dict[int, GroupEntry] = {group.number: group for group in program.groups}
        meters = frozenset(meter.number for meter in program.meters)
        self._flows: dict[int, list[Flow]] = {}
        self._classifiers: dict[int, Classifier] = {}
        for flow in program.flows:
            check_flow(flow, frozenset(self.groups), meters)
            self._flows.setdefault(flow.table.number, []).append(flow)

    def find(self, table: int, values: list[int]) -> Found | None:
        """Return the flow of a table that these slot values match; None is a miss, which drops."""
        classifier = self._classifiers.get(table)
        if classifier is None:
            flows = self._flows.get(table)
            if flows is None:
                return None
            classifier = self._classifiers[table] = Classifier(flows)
        return classifier.find(values)
