"""What a command reads before it begins: the start of a controller is a time without one."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import zonewall.cli
import zonewall.cli.verb_run
import zonewall.cli.running
import zonewall.reconciler.controller
import zonewall.api.server
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("zonewall.cli.verb_")))
"""


def test_a_controller_reads_no_library_before_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    packages, verbs = (line.split() for line in done.stdout.split("\n")[:2])

    assert {"ovs", "asyncio", "zonewall"} <= set(packages)
    assert not {"networkx", "eventlet", "os_ken", "rich"} & set(packages)
    assert verbs == ["zonewall.cli.verb_run"]


def test_another_verb_is_read_alone() -> None:
    words = PROGRAM.replace("import zonewall.cli.running", "zonewall.cli.app.build_app('status')")
    words = words.replace("import zonewall.cli.verb_run", "import zonewall.cli.app")
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split() == ["zonewall.cli.verb_status"]


FAILURE = """
import sys
from zonewall.cli.logging_form import set_up_logging
import structlog
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
