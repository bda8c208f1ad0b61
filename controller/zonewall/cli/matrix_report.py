"""Matrices for people: a table on a terminal, a page, a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zonewall.intent.matrix import Cell, Matrix

MOST_SERVICES = 4
_COLOURS = {"all": "#2e7d32", "some": "#f9a825", "none": "#eeeeee", "nobody": "#ffffff"}
_LEGEND = "green: from every member to every member; yellow: between some (~); grey: nothing; white: nobody"
_STYLE = """body{font-family:sans-serif;margin:2em} table{border-collapse:collapse;margin-bottom:2em}
th,td{border:1px solid #bbb;padding:.35em .5em;font-size:85%;vertical-align:top}
thead th,tbody th{position:sticky;background:#fff} thead th{top:0} tbody th{left:0;text-align:left}
.all{background:#c8e6c9}.some{background:#fff3c4}.none{background:#eee}.nobody{background:#fff;color:#bbb}"""
_ROW, _COLUMN, _LEFT = 26, 130, 150


def kind_of(cell: Cell) -> str:
    """Return ``all``, ``some``, ``none`` or ``nobody``."""
    if cell.empty:
        return "nobody"
    return (
        "all" if cell.always and not cell.sometimes else "some" if cell.always or cell.sometimes else "none"
    )


def cell_text(cell: Cell, most: int = MOST_SERVICES) -> str:
    """Return what passes in a few words; ``~`` marks what passes between some members only."""
    words = [*cell.always, *(f"~{one}" for one in cell.sometimes)]
    shown = [*words[:most], *([f"+{len(words) - most}"] if len(words) > most else [])]
    if cell.watched:
        shown.append("(watched)")
    return ", ".join(shown) or ("" if cell.empty else "-")


def print_matrices(matrices: Sequence[Matrix]) -> None:
    """Print each matrix as a table, rows from, columns to."""
    console = Console()
    styles = {"all": "green", "some": "yellow", "none": "dim", "nobody": "dim"}
    for matrix in matrices:
        table = Table(title=f"{matrix.tenant}: from row to column", title_justify="left", show_lines=True)
        table.add_column("from \\ to", overflow="fold")
        for name in matrix.names:
            table.add_column(Text(name), overflow="fold")
        for source in matrix.names:
            cells = (matrix.cells[source, destination] for destination in matrix.names)
            table.add_row(Text(source), *(Text(cell_text(cell), styles[kind_of(cell)]) for cell in cells))
        console.print(table)
    console.print("~: between some members only; watched: passes because a rule is in monitor mode")


def html_page(matrices: Sequence[Matrix]) -> str:
    """Return a page of its own, which loads nothing."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>zonewall matrix</title>",
        f"<style>{_STYLE}</style><h1>What may pass</h1><p>{_LEGEND}.</p>",
    ]
    for matrix in matrices:
        heads = "".join(f"<th>{escape(name)}</th>" for name in matrix.names)
        parts.append(
            f"<h2>{escape(matrix.tenant)}</h2><table><thead><tr><th>from \\ to</th>{heads}</tr></thead>"
        )
        for source in matrix.names:
            cells = "".join(_html_cell(matrix.cells[source, name]) for name in matrix.names)
            parts.append(f"<tr><th>{escape(source)}</th>{cells}</tr>")
        parts.append("</table>")
    return "\n".join(parts) + "</html>\n"


def _html_cell(cell: Cell) -> str:
    return f'<td class="{kind_of(cell)}">{escape(cell_text(cell, 1000))}</td>'


def svg_picture(matrices: Sequence[Matrix]) -> str:
    """Return a picture: a grid for each tenant; the whole of a cell shows when it is pointed at."""
    body: list[str] = []
    top, width = 30, 0
    for matrix in matrices:
        width = max(width, _LEFT + _COLUMN * len(matrix.names) + 20)
        top = _svg_grid(matrix, top, body)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" font-family="sans-serif" '
    return f'{head}font-size="11"><text x="10" y="18">{_LEGEND}</text>{"".join(body)}</svg>\n'


def _svg_grid(matrix: Matrix, top: int, body: list[str]) -> int:
    """Add a matrix below ``top`` and return where it ends."""
    body.append(f'<text x="10" y="{top + 18}" font-weight="bold">{escape(matrix.tenant)}</text>')
    for place, name in enumerate(matrix.names):
        body.append(_svg_text(_LEFT + place * _COLUMN + 4, top + 18, name))
    for line, source in enumerate(matrix.names):
        y = top + _ROW * (line + 1)
        body.append(_svg_text(10, y + 17, source))
        for place, destination in enumerate(matrix.names):
            cell, x = matrix.cells[source, destination], _LEFT + place * _COLUMN
            fill = _COLOURS[kind_of(cell)]
            title = f"{source} → {destination}: {cell_text(cell, 1000)}"
            body.append(
                f'<g><title>{escape(title)}</title><rect x="{x}" y="{y}" width="{_COLUMN - 2}" '
                f'height="{_ROW - 2}" fill="{fill}" fill-opacity="0.4" stroke="#999"/>'
                f"{_svg_text(x + 4, y + 17, cell_text(cell, 1))}</g>"
            )
    return top + _ROW * (len(matrix.names) + 2)


def _svg_text(x: int, y: int, text: str) -> str:
    short = text if len(text) <= 22 else f"{text[:21]}…"
    return f'<text x="{x}" y="{y}">{escape(short)}</text>'
