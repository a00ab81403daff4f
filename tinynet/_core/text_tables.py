"""Tables of text and numbers, for terminals and notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Table:
    """Table with a title above and a note below, for printing and for notebooks.

    Numbers in `rows` are formatted with `number`. `words` are the columns that are left-aligned.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    words: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        self.rows = [[c if isinstance(c, str) else number(c) for c in row] for row in self.rows]

    def __str__(self) -> str:
        table = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [self.title] if self.title else []
        for row in table:
            pairs = enumerate(zip(row, widths, strict=True))
            cells = [f"{c:<{w}}" if i in self.words else f"{c:>{w}}" for i, (c, w) in pairs]
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join([*lines, *([f"  {self.note}"] if self.note else [])])

    def _repr_html_(self) -> str:
        def line(kind: str, cells: Sequence[str]) -> str:
            sides = ["left" if i in self.words else "right" for i in range(len(cells))]
            return "".join(
                f'<{kind} style="text-align: {side}">{html.escape(cell)}</{kind}>'
                for side, cell in zip(sides, cells, strict=True)
            )

        body = "".join(f"<tr>{line('td', row)}</tr>" for row in self.rows)
        title = f"<p><b>{html.escape(self.title)}</b></p>" if self.title else ""
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        head = f"<thead><tr>{line('th', self.header)}</tr></thead>"
        return f"<div>{title}<table>{head}<tbody>{body}</tbody></table>{note}</div>"


class Tables:
    """Base class of results that are printed as tables."""

    def tables(self) -> list[Table]:
        """Return the tables, in reading order."""
        raise NotImplementedError(f"{type(self).__name__} must implement tables()")

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables())


def number(value: Any) -> str:
    """Format a number with four significant digits."""
    return f"{float(value):.4g}"
