"""The hosts' databases: what ports are there, and how the bridges are set up."""

import importlib
import sys

# python-ovs imports eventlet where it is installed (os-ken needs it), which takes as long as all the rest of
# the start, and asks it only whether it has replaced select(2), which is not done here.
if "eventlet" not in sys.modules:
    sys.modules["eventlet"] = None  # type: ignore[assignment]  # an import of it fails, as documented
    try:
        importlib.import_module("ovs.poller")
    finally:
        del sys.modules["eventlet"]
