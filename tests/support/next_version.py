"""A next version of the controller: a copy of this one, with what a real one might have changed.

Another layout of its flows: a table more, by which all behind it have other numbers, registers whose fields
have changed places, other categories in cookies. Other forms of files of the state folder: some that this
version can read, too, as they only say more, and some that it cannot.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import zonewall

Edit = Callable[[str], str]


def replaced(*pairs: tuple[str, str]) -> Edit:
    """Return the edit that replaces texts, each of which is there once."""

    def edit(text: str) -> str:
        for old, new in pairs:
            assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        return text

    return edit


def counted_up(pattern: str, by: int, above: int = -1) -> Edit:
    """Return the edit that counts numbers up: the second group of each place, where it is above a bound."""

    def edit(text: str) -> str:
        def up(found: re.Match[str]) -> str:
            number = int(found[2])
            return found[1] + str(number + by if number > above else number)

        made, count = re.subn(pattern, up, text)
        assert count
        return made

    return edit


def before(mark: str, edit: Edit) -> Edit:
    """Return an edit of what comes before a mark."""

    def edited(text: str) -> str:
        head, found, rest = text.partition(mark)
        assert found
        return edit(head) + found + rest

    return edited


_COUNTED = """COUNTED: Final = _table(
    "counted", 6, "What has come in by a port?", (), ("guard",), Miss.NEXT
)
GUARD: Final = _table("""
_ONLY_MORE = replaced(("FORM, SINCE = 1, 1", "FORM, SINCE = 2, 1"))
_ANOTHER = replaced(("FORM, SINCE = 1, 1", "FORM, SINCE = 2, 2"))

EDITS: dict[str, tuple[Edit, ...]] = {
    "pipeline/layout.py": (counted_up(r"(\nLAYOUT: Final = )(\d+)", by=1),),
    "pipeline/tables.py": (
        counted_up(r'(= _table\(\s*"\w+",\s*)(\d+)', by=1, above=5),
        replaced(
            ("GUARD: Final = _table(", _COUNTED),
            ('"service_return", "guard", "source"', '"service_return", "counted", "source"'),
        ),
    ),
    "pipeline/stages/classify.py": (replaced((" GUARD,", " COUNTED,"), ("Goto(GUARD)", "Goto(COUNTED)")),),
    "pipeline/registers.py": (
        replaced(
            ('"tenant", 4, 0, 12', '"tenant", 4, 16, 12'),
            ('"via", 4, 16, 12', '"via", 4, 0, 12'),
            ('"src_local", 5, 10, 1', '"src_local", 5, 13, 1'),
            ('"answer", 5, 13, 1', '"answer", 5, 10, 1'),
        ),
    ),
    "pipeline/cookie.py": (before("class Reason", counted_up(r"(\n    [A-Z_]+ = )(\d+)", by=64)),),
    "store/memory_file.py": (
        _ONLY_MORE,
        replaced(
            ("    places: list[", "    heights: list[int] = []\n    places: list["),
            ('"held": held,', '"held": held, "heights": [1, 2, 3],'),
        ),
    ),
    "store/numbering_file.py": (_ONLY_MORE,),
    "store/generation_file.py": (_ONLY_MORE,),
    "store/outliving_file.py": (_ANOTHER,),
    "store/stopped_file.py": (_ANOTHER,),
    "reconciler/counters.py": (_ANOTHER,),
}


def next_version(folder: Path) -> tuple[str, ...]:
    """Make the next version below a folder; return the words that run its ``zonewall``."""
    package = folder / "zonewall"
    # With the times of the files, by which Python knows whether it has compiled them.
    shutil.copytree(Path(zonewall.__file__).parent, package, copy_function=shutil.copy2)
    for name, edits in EDITS.items():
        text = (package / name).read_text()
        for edit in edits:
            text = edit(text)
        (package / name).write_text(text)
    code = "import sys; sys.argv[0] = 'zonewall'; from zonewall.cli import main; sys.exit(main())"
    return ("env", f"PYTHONPATH={folder}", sys.executable, "-c", code)
