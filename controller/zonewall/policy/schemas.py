"""JSON Schemas of the documents, made from the models that validate them: what editors complete against."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from zonewall.policy.document_models import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: str) -> dict[str, Any]:
    """Return the schema of ``inventory``, ``provider`` or ``tenant``."""
    made = _without_titles(KINDS[kind].model_json_schema(by_alias=True))
    return {"$schema": DIALECT, "title": f"zonewall: {kind}", **made}


def schema_text(kind: str) -> str:
    """Return the schema as it is published."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    """Return a schema without the titles that are its keys said again."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(value)
        for key, value in node.items()
        if key != "title" or not isinstance(value, str)
    }


def main() -> None:
    """Write the schemas into the folder named on the command line."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "policies/schema")
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (folder / f"{kind}.json").write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
