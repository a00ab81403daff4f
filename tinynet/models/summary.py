"""The table printed by `model.summary()`, in Keras' format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinynet._core import checks
from tinynet._core.progress_bar import can_encode
from tinynet._core.text_tables import Table
from tinynet.layers.input_layer import InputLayer
from tinynet.models.functional_config import connections, operation_class, places_of
from tinynet.program.nested import flattened
from tinynet.program.symbols import Node

Row = list[str]
_HEADER = ("Layer (type)", "Output Shape", "Param #")


def summary_lines(
    model: Any,
    line_length: int | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
) -> list[str]:
    """Return the summary of a model as lines of text."""
    line_length = checks.optional(checks.whole, "line_length", line_length)
    header, *rows = _rows(model, expand_nested, show_trainable)
    table = _table(header, rows, line_length)
    return [f'Model: "{model.name}"', *table, *(f" {line}" for line in _counts(model))]


def summary_html(model: Any) -> str:
    """Return the summary of a model as an HTML table for notebooks."""
    header, *rows = _rows(model, True, False)
    note = ", ".join(_counts(model))
    return Table(f'Model: "{model.name}"', header, rows, note, (0, 1, 3))._repr_html_()


def _counts(model: Any) -> list[str]:
    """Return lines with the number of parameters of each kind and their size in memory."""
    optimizer = list(model.optimizer.variables) if model.optimizer is not None else []
    optimizer = optimizer if len(optimizer) > 2 else []
    counts = {"Total": [*model.weights, *optimizer], "Trainable": model.trainable_weights}
    counts |= {"Non-trainable": model.non_trainable_weights}
    counts |= {"Optimizer": optimizer} if optimizer else {}
    lines = []
    for label, variables in counts.items():
        memory = sum(v.array.nbytes for v in variables)
        power = min(max(memory.bit_length() - 1, 0) // 10, 3)
        size = f"{memory / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]}"
        lines.append(f"{label} params: {sum(v.size for v in variables):,} ({size})")
    return lines


def _is_chain(model: Any) -> bool:
    """Return whether each layer is called once, with the output of the previous layer."""
    if not model._functional or model._has_own_call:
        return True
    return all(c.sources == [k - 1][: k > 0] for k, c in enumerate(connections(model)))


def _rows(model: Any, expand_nested: bool, show_trainable: bool) -> list[Row]:
    """Return the header and one row per layer."""
    connects = not _is_chain(model)
    header = [*_HEADER, *["Connected to"] * connects, *["Trainable"] * show_trainable]
    corner = "└" if can_encode("└") else "-"

    def rows(model: Any, level: int) -> Iterator[Row]:
        graph: Any = None if model._has_own_call else model._graph
        places, calls = ({}, {}) if graph is None else places_of(graph)
        listed = graph.operations if model._functional and graph is not None else model.layers
        for operation in listed:
            own = calls.get(id(operation), [])
            shapes = [s.shape for s in flattened(own[-1].outputs)] if own else []
            if isinstance(operation, Node):
                kind, count = operation_class(operation.operation.name), "0"
            else:
                kind = type(operation).__name__
                if kind == "Model" and operation._functional:
                    kind = "Functional"  # class name in Keras
                count = f"{operation.count_params():,}" if operation.built else "0 (unbuilt)"
                if isinstance(operation, InputLayer):
                    shapes = [operation.batch_shape]
                elif not own and operation.built and operation._build_shape and graph is None:
                    shapes = [operation.compute_output_shape(operation._build_shape)]
            name = "   " * level + f"{corner} " * bool(level) + operation.name
            row = [f"{name} ({kind})", str(shapes[0] if len(shapes) == 1 else shapes or "?"), count]
            if connects:
                inputs = [places[id(graph.meant(i))] for node in own for i in node.inputs]
                text = ", ".join(f"{name}[{call}][{k}]" for name, call, k in inputs)
                row.append("-" if level else text or "-")
            if show_trainable:
                has_weights = bool(getattr(operation, "weights", ()))
                row.append(("Y" if operation.trainable else "N") if has_weights else "-")
            yield row
            if expand_nested and hasattr(operation, "layers"):
                yield from rows(operation, level + 1)

    return [header, *rows(model, 0)]


def _table(header: Row, rows: list[Row], line_length: int | None) -> list[str]:
    """Draw the table; cells that are too long are truncated."""
    widths = [33, 24, 15, 11, 11][: len(header)]
    if "Connected to" in header:
        widths[3] = 2 + max(len(row[3]) for row in [header, *rows])
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
