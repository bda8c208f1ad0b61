"""Says a refusal once, not at every attempt: a refused host comes back every few seconds."""

from __future__ import annotations

_WINDOW_S = 60.0
_REASONS_A_WINDOW = 20
_PEERS = 1024


class Refusals:
    """Remembers what was said of whom; bounded, whoever comes and whatever they say."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._said: dict[str, tuple[float, set[str]]] = {}

    def worth_saying(self, peer: str, reason: str, at: float) -> bool:
        """Say whether this is news: not said of that peer within a minute, nor too much else."""
        since, reasons = self._said.get(peer, (at, set()))
        if at - since >= _WINDOW_S:
            since, reasons = at, set()
            self._said.pop(peer, None)
        if reason in reasons or len(reasons) >= _REASONS_A_WINDOW:
            return False
        while len(self._said) >= _PEERS and peer not in self._said:
            self._said.pop(next(iter(self._said)))
        self._said[peer] = (since, reasons | {reason})
        return True
