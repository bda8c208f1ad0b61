"""The index of decision records names each of them as it names itself."""

from __future__ import annotations

from pathlib import Path

RECORDS = Path(__file__).parents[2] / "docs" / "decisions"


def test_the_index_names_every_record_by_its_title() -> None:
    listed = [line for line in (RECORDS / "README.md").read_text().splitlines() if line.startswith("- [")]
    titles = [
        (path.name, *path.read_text().splitlines()[0].removeprefix("# ").split(": ", 1))
        for path in sorted(RECORDS.glob("0*.md"))
    ]
    assert listed == [f"- [{number}]({name}): {title}" for name, number, title in titles]
