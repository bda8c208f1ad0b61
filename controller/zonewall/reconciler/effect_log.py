"""What a change of the placement means, as lines of the log."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from zonewall.placement.binding_events import Effect, EffectKind

_UNSAID = (EffectKind.REPATH, EffectKind.REMOVE, EffectKind.CLOSE_WINDOW)

_log = structlog.get_logger()


def log_effects(effects: Iterable[Effect]) -> None:
    """Write a line for each effect that an operator wants to see."""
    for effect in effects:
        if effect.kind in _UNSAID:
            continue
        level = _log.debug if effect.kind is EffectKind.IGNORED else _log.info
        level(
            f"placement_{effect.kind.value.replace('-', '_')}",
            endpoint=effect.endpoint,
            port=None if effect.port is None else f"{effect.port.bridge}/{effect.port.name}",
            reason=effect.reason or None,
        )
