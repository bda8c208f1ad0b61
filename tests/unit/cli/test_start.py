"""What a command reads before it begins: the start of a controller is a time without one."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from zonewall.cli.app import build_app
build_app("run")
import zonewall.reconciler.controller
import zonewall.api.server
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("zonewall.cli.verb_")))
"""


def test_a_controller_reads_no_library_before_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    packages, verbs = (line.split() for line in done.stdout.splitlines())

    assert {"ovs", "asyncio", "zonewall"} <= set(packages)
    assert not {"networkx", "eventlet", "os_ken", "pydantic", "yaml"} & set(packages)
    assert verbs == ["zonewall.cli.verb_run"]


FAILURE = """
import sys, structlog
from zonewall.cli.app import build_app
build_app("run")
from zonewall.cli.verb_run import set_up_logging
set_up_logging(sys.argv[1])
try:
    {}["gone"]
except KeyError:
    structlog.get_logger().exception("failed")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_says_where_something_failed(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", FAILURE, form], capture_output=True, text=True, check=True)

    assert "KeyError: 'gone'" in done.stderr
    assert len(done.stderr.splitlines()) == 1 or form == "text"
