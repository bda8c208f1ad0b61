"""A process allows itself the descriptors that it may have; strangers get a part of them only."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """
import resource
from zonewall.store.descriptors import a_quarter, raise_limit
raise_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], a_quarter(1024), a_quarter(8))
"""


@pytest.mark.parametrize(
    ("limits", "found"),
    [("ulimit -Sn 256; ulimit -Hn 4096", "4096 1024 8"), ("ulimit -Sn 256; ulimit -Hn 1024", "1024 256 8")],
)
def test_the_limit_is_raised_as_far_as_it_may_be_and_strangers_get_a_quarter(limits: str, found: str) -> None:
    command = ["bash", "-c", f'{limits}; exec "$0" -c "$1"', sys.executable, LOOK]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.strip() == found
