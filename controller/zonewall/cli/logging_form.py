"""How log events are written."""

from __future__ import annotations

import logging
import sys
from typing import Any

from zonewall.lean import import_without

# Log events are plain lines; structlog would read rich for the tracebacks that it could draw.
import_without("structlog", "rich")

import structlog  # noqa: E402 - see above


def set_up_logging(form: str) -> None:
    """Write log events to stderr, one a line."""
    renderers: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if form == "text":
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
