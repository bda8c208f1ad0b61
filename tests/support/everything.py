"""Documents that say every kind of thing at once, for two hosts of any attachment, and a placement."""

from __future__ import annotations

from pathlib import Path

ATTACHMENTS = ("fabric", "underlay", "overlay")
DOCUMENTS = Path(__file__).parent / "everything"
PLACEMENT = """\
placements:
  - {endpoint: acme/web1, host: hv1, bridge: br-int, ofport: 11}
  - {endpoint: acme/job1, host: hv1, bridge: br-int, ofport: 12}
  - {endpoint: blue/vm9,  host: hv1, bridge: br-int, ofport: 13}
  - {endpoint: ops/eye,   host: hv1, bridge: br-int, ofport: 14}
  - {endpoint: acme/web2, host: hv2, bridge: br-int, ofport: 11}
  - {endpoint: acme/db1,  host: hv2, bridge: br-int, ofport: 12}
  - {endpoint: ops/fix,   host: hv2, bridge: br-int, ofport: 13}
ports:
  - {host: hv1, bridge: br-int, name: eth1, ofport: 1}
  - {host: hv1, bridge: br-int, name: fab0, ofport: 2}
  - {host: hv1, bridge: br-int, name: gnv0, ofport: 3}
  - {host: hv1, bridge: br-int, name: ids0, ofport: 4}
  - {host: hv1, bridge: br-int, name: waf-in, ofport: 5}
  - {host: hv1, bridge: br-int, name: waf-out, ofport: 6}
  - {host: hv1, bridge: br-int, name: waf2-in, ofport: 7}
  - {host: hv1, bridge: br-int, name: waf2-out, ofport: 8}
  - {host: hv1, bridge: br-int, name: url0, ofport: 9}
  - {host: hv2, bridge: br-int, name: eth1, ofport: 1}
  - {host: hv2, bridge: br-int, name: fab0, ofport: 2}
  - {host: hv2, bridge: br-int, name: gnv0, ofport: 3}
links: [{a: hv1/br-int/2, b: hv2/br-int/2}]
"""


def write_everything(folder: Path, attachment: str) -> Path:
    """Write the documents into a folder and ``placement.yaml`` beside it; return the placement's path."""
    folder.mkdir()
    for path in DOCUMENTS.glob("*.yaml"):
        (folder / path.name).write_text(path.read_text().replace("ATTACHMENT", attachment))
    placement = folder.parent / "placement.yaml"
    placement.write_text(PLACEMENT)
    return placement
