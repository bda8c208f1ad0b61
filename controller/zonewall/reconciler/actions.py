"""What operators may ask of a running controller, by name; each is in the journal with who asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zonewall.errors import ZonewallError
from zonewall.reconciler.isolation import quarantine, release
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import EndpointKey

LONGEST = 500
"""Characters of a reason."""


def carry_out(reconciler: Reconciler, name: str, said: Mapping[str, Any], who: str) -> None:
    """Do what is asked for.

    Raises:
        ZonewallError: there is no such action, or what was said of it will not do.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise ZonewallError(f"{name}: no such action; there are {', '.join(sorted(ACTIONS))}")
    action(reconciler, said, who)


def _quarantine(reconciler: Reconciler, said: Mapping[str, Any], who: str) -> None:
    quarantine(reconciler, _endpoint(said), _text(said, "reason") or "by hand", who)


def _release(reconciler: Reconciler, said: Mapping[str, Any], who: str) -> None:
    release(reconciler, _endpoint(said), _text(said, "reason") or None, who)


def _endpoint(said: Mapping[str, Any]) -> EndpointKey:
    return EndpointKey(_text(said, "endpoint"))


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key, "")
    if not isinstance(value, str) or len(value) > LONGEST or not (value.isprintable()):
        raise ZonewallError(f"{key}: printable text of at most {LONGEST} characters")
    return value


ACTIONS: Mapping[str, Callable[[Reconciler, Mapping[str, Any], str], None]] = {
    "quarantine": _quarantine,
    "release": _release,
}
