"""How long hosts' databases are waited for."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.ovsdb.schema import MAX_PORTS


@dataclass(frozen=True, slots=True)
class Patience:
    """How long others are waited for, and how many at once.

    Attributes:
        handshake_s: from the connection to the answer that says who it is, TLS included.
        snapshot_s: from the admission to the whole contents.
        probe_s: silence after which a host is probed; as long again without an answer, and it is lost.
        short_probe_s: the same while hosts are watched closely.
        half_open: who connected in and has not said yet who they are; beyond, the oldest of whoever has most
            goes.
        half_open_of_one: the same of one address; beyond, its oldest goes.
        ports: as many are believed of one host.
    """

    handshake_s: float = 10.0
    snapshot_s: float = 60.0
    probe_s: float = 5.0
    short_probe_s: float = 2.0
    half_open: int = 512
    half_open_of_one: int = 64
    ports: int = MAX_PORTS
