"""``docs/pipeline.md``, drawn from the declaration: ``python -m zonewall.pipeline.document``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from zonewall.pipeline.model import Field, Miss, Pipeline, Table
from zonewall.pipeline.tables import PIPELINE

_HEAD = """# The pipeline

Drawn from `controller/zonewall/pipeline/tables.py` and `registers.py` by `make docs`; edit that, not this.

A packet runs down the tables. A table that has no matching flow drops, unless it says *next*. Subroutines
(`verdict`, `mirror_select`, `mirror_emit`) are called with `resubmit` and return.
"""

_TAIL = """
## How a packet is judged

Every tracked packet is judged by the policy of the moment, not by what was decided when its connection began:
`judge` turns it to its connection's first direction (`resubmit(,verdict,ct)` presents the original tuple, the
identities are swapped for answers) and asks `verdict` as for a first packet. A rule that goes takes its live
connections along with the very next packet; a rule that stays loses none, because nothing of it was touched.
The datapath caches the answer in the megaflow, so that only the first packet of a kind pays for the search.
See [decision 0002](decisions/0002-judge-every-packet.md).

A datagram's fragments wait on the bridge for each other: the first is judged, and all go on with its verdict
([decision 0019](decisions/0019-fragments-wait-for-the-first.md)).

## What travels between bridges

On fabric links a frame carries two 802.1Q tags: the outer is the *destination* (a bridge, an appliance's leg
in a chain, a mirror target), the inner the *tenant*. A bridge on the way looks at the outer tag only, so that
it holds flows per destination, not per endpoint. Through tunnels both numbers share the 24-bit VNI. The
source's identity is found again by its address within the tenant: only zonewall's bridges can put frames on
such a link, and each let only an endpoint's own addresses in. What leaves the last appliance of a chain
carries, in place of the tenant's number, one that stands for the tenant and the way it came: so the other
end's bridge sends answers back the same way ([decision 0023](decisions/0023-ways-through-appliances.md)).
"""


def document(pipeline: Pipeline = PIPELINE) -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *_picture(pipeline), "", *_tables(pipeline), "", *_fields(pipeline), _TAIL])


def _picture(pipeline: Pipeline) -> Iterator[str]:
    yield "```mermaid"
    yield "flowchart TD"
    for table in pipeline.tables:
        shape = "([{}])" if not table.goto else "[{}]"
        yield f"  {table.name}{shape.format(f'{table.number} {table.name}')}"
    for table in pipeline.tables:
        for name in table.goto:
            yield f"  {table.name} --> {name}"
    for caller, called in (("judge", "mirror_select"), ("judge", "verdict"), ("act", "mirror_emit")):
        yield f"  {caller} -. calls .-> {called}"
    yield "```"


def _tables(pipeline: Pipeline) -> Iterator[str]:
    yield "## Tables"
    yield ""
    yield "| number | table | question it answers | matches | no flow matches | leads to |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for table in pipeline.tables:
        cells = (
            str(table.number),
            f"`{table.name}`",
            table.purpose,
            _matches(table),
            _miss(table),
            _leads(table),
        )
        yield f"| {' | '.join(cells)} |"


def _matches(table: Table) -> str:
    return ", ".join(f"`{name}`" for name in table.matches)


def _miss(table: Table) -> str:
    return "drop" if table.miss is Miss.DROP else "next"


def _leads(table: Table) -> str:
    return ", ".join(f"`{name}`" for name in table.goto)


def _fields(pipeline: Pipeline) -> Iterator[str]:
    yield "## Fields"
    yield ""
    yield "| field | bits |"
    yield "| --- | --- |"
    for field in pipeline.fields:
        yield f"| `{field.name}` | {_bits(field)} |"


def _bits(field: Field) -> str:
    return f"{field.base}[{field.low}..{field.low + field.width - 1}]"


def main() -> None:
    """Write the page to the file named on the command line."""
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pipeline.md").write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
