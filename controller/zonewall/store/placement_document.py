"""A placement in the form that ``placement_file`` reads; writing it down needs no library."""

from __future__ import annotations

from typing import Any

from zonewall.placement.model import Placement


def placement_document(placement: Placement) -> dict[str, Any]:
    """Return a placement in the form that is read."""
    return {
        "placements": [
            {
                "endpoint": str(binding.endpoint),
                "host": str(binding.bridge.host),
                "bridge": str(binding.bridge.bridge),
                "ofport": int(binding.ofport),
                "state": binding.state.value,
                "midstream": binding.midstream,
            }
            for _, bindings in sorted(placement.bindings.items())
            for binding in bindings
        ],
        "ports": [
            {"host": str(bridge.host), "bridge": str(bridge.bridge), "name": name, "ofport": int(ofport)}
            for (bridge, name), ofport in sorted(placement.ports.items())
        ],
        "links": sorted(
            ({"a": f"{link.a[0]}/{link.a[1]}", "b": f"{link.b[0]}/{link.b[1]}"} for link in placement.links),
            key=lambda link: (link["a"], link["b"]),
        ),
    }
