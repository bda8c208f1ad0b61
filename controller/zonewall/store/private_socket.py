"""A unix socket that only its owner may open."""

from __future__ import annotations

import os
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket


def private_socket(path: Path) -> socket:
    """Return a stream socket bound to ``path``, of mode 0600.

    Its mode is set before it has a name: there is no moment in which others can connect (unix(7)).

    Raises:
        OSError: nothing can be bound there.
    """
    made = socket(AF_UNIX, SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)
        made.bind(str(path))
    except OSError:
        made.close()
        raise
    return made
