"""The table that `model.summary()` prints, in the form of Keras'."""

from __future__ import annotations

from typing import Any

from tinynet import checks
from tinynet.progress import can_encode
from tinynet.tables import Table
from tinynet.variable import Variable

Row = list[str]
_HEADER = ("Layer (type)", "Output Shape", "Param #")


def summary_lines(
    model: Any,
    line_length: int | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
) -> list[str]:
    """Write a model down as a table.

    Parameters
    ----------
    model : Model
        The model.
    line_length : int, optional
        The width in characters; by default as wide as its widest row needs.
    expand_nested : bool
        Whether the layers of nested models are listed too.
    show_trainable : bool
        Whether to show which layers are trained.

    Returns
    -------
    list of str
        The lines.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> net = Sequential([layers.Input((2,)), layers.Dense(3, name="out")], name="net")
    >>> summary_lines(net)[-3:-1]
    [' Total params: 9 (36.00 B)', ' Trainable params: 9 (36.00 B)']
    """
    line_length = checks.optional(checks.whole, "line_length", line_length)
    header = [*_HEADER] + ["Trainable"] * show_trainable
    rows = list(_rows(model, expand_nested, show_trainable, ""))
    table = _table(header, rows, line_length)
    return [f'Model: "{model.name}"', *table, *(f" {line}" for line in _counts(model))]


def summary_html(model: Any) -> str:
    """Write a model down as a table for a notebook.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> from tinynet import Sequential, layers
    >>> "<td" in summary_html(Sequential([layers.Input((2,)), layers.Dense(3)]))
    True
    """
    rows = _rows(model, True, False, "")
    note = ", ".join(_counts(model))
    return Table(f'Model: "{model.name}"', _HEADER, rows, note, (0, 1))._repr_html_()


def _counts(model: Any) -> list[str]:
    """Say how many parameters there are, of each kind."""
    optimizer = list(model.optimizer.variables) if model.optimizer is not None else []
    optimizer = optimizer if len(optimizer) > 2 else []
    counts = [
        ("Total params", [*model.weights, *optimizer]),
        ("Trainable params", model.trainable_weights),
        ("Non-trainable params", model.non_trainable_weights),
    ]
    if optimizer:
        counts.append(("Optimizer params", optimizer))
    return [f"{label}: {_size(variables)}" for label, variables in counts]


def _rows(model: Any, expand_nested: bool, show_trainable: bool, indent: str) -> list[Row]:
    rows: list[Row] = []
    known = model._input is not None and model._layers
    shape = model._input.batch_shape if known else None
    for layer in model.layers:
        shape = layer.compute_output_shape(shape) if shape is not None else None
        count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        row = [f"{indent}{layer.name} ({type(layer).__name__})", str(shape or "?"), count]
        if show_trainable:
            row.append(("Y" if layer.trainable else "N") if layer.weights else "-")
        rows.append(row)
        if expand_nested and hasattr(layer, "layers"):
            rows += _rows(layer, expand_nested, show_trainable, indent + "  ")
    return rows


def _table(header: Row, rows: list[Row], line_length: int | None) -> list[str]:
    """Draw the box; a cell that is too long for it is cut."""
    widths = [33, 24, 15, 11][: len(header)]
    if line_length is None:
        cells = zip(widths, header, *rows, strict=True)
        widths = [max(least, 2 + max(map(len, column))) for least, *column in cells]
    else:
        widths[0] = max(line_length - sum(widths[1:]) - len(header) - 1, 6)
    plain = ("+-++", "|", "+=++", "|", "+-++", "+-++")
    boxed = ("┏━┳┓", "┃", "┡━╇┩", "│", "├─┼┤", "└─┴┘")
    top, bold, below, thin, between, bottom = boxed if can_encode("┏") else plain
    lines = [_rule(widths, top), _line(header, widths, bold), _rule(widths, below)]
    for row in rows:
        lines += [_line(row, widths, thin), _rule(widths, between)]
    return [*(lines[:-1] if rows else lines), _rule(widths, bottom)]


def _rule(widths: list[int], corners: str) -> str:
    left, fill, cross, right = list(corners)
    return left + cross.join(fill * width for width in widths) + right


def _line(row: Row, widths: list[int], edge: str) -> str:
    cells = []
    for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
        cell = cell if len(cell) <= width - 2 else cell[: width - 3] + "~"
        cells.append(f" {cell:>{width - 2}} " if i == 2 else f" {cell:<{width - 2}} ")
    return edge + edge.join(cells) + edge


def _size(variables: list[Variable]) -> str:
    """Count elements, and the memory they take."""
    count = sum(v.size for v in variables)
    memory = sum(v.array.nbytes for v in variables)
    power = min(max(memory.bit_length() - 1, 0) // 10, 3)
    return f"{count:,} ({memory / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]})"
