"""Rates that a policy sets bounds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate: ``unit`` is ``pps`` or ``kbps`` (mbps and gbps are turned into kbps)."""

    rate: int
    unit: Literal["pps", "kbps"]
    per_endpoint: bool = False
