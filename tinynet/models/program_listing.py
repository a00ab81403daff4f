"""Text listing of the program of a training step: instructions, registers and shapes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tinynet import functional, optimizers
from tinynet._core import checks
from tinynet.losses import SparseCategoricalCrossentropy
from tinynet.program.program import Backward
from tinynet.training.one_step import OneStep, copied

# Templates for operations that are not written as ``y = name(inputs, options)`` and
# ``gradients = name_backward(d, y, inputs, options)``. {0} is the first input, {y} the result,
# {d} the upstream gradient, {d0} the gradient with respect to the first input.
_FORWARD = {
    "linear": "{y} = dense({0}, {1}, {2})",
    "linear_relu": "{y} = dense({0}, {1}); bias_relu({y}, {2})",
    "flatten": "{y} = reshape({0}, {shape})",
    "reshape_examples": "{y} = reshape({0}, {shape})",
    "draw": "{y} = random({shape})",
    "dropout": "{y} = dropout({0}, {1}, {rate})",
    "batch_normalization": "{y1}, {y2} = batch_statistics({0}); "
    "{y} = batch_normalization({0}, {y1}, {y2}, {1}, {2}, {epsilon})",
    "normalized": "{y} = batch_normalization({0}, {1}, {2}, {3}, {4}, {epsilon})",
    "sparse_softmax_crossentropy": "{y1} = softmax({0}); "
    "{y}_values = sparse_softmax_crossentropy({1}, {0}); {y} = {reduce}({y}_values)",
    "loss": "{y}_values = {values}({cost}{1}, {0}{given}); {y} = {reduce}({y}_values)",
    "layer": "{y} = {name}.forward({0})",
    "activation": "{y} = {name}({row}{0}{given})",
}
_BACKWARD = {
    "linear": "dense_gradients({0}, {d}, {d1}, {d2}); {d0} = dense_backward({d}, {1})",
    "linear_relu": "bias_relu_backward({d}, {y}, {d2}); dense_gradients({0}, {d}, {d1}, None); "
    "{d0} = dense_backward({d}, {1})",
    "dropout": "{d0} = dropout({d}, {1}, {rate})",
    "batch_normalization": "{d0} = batch_normalization_backward"
    "({d}, {0}, {y1}, {y2}, {1}, {epsilon}, {d1}, {d2})",
    "sparse_softmax_crossentropy": "d_{y}_values = {reduce}_backward({d}, {y}, {y}_values); "
    "{d0} = sparse_softmax_crossentropy_backward(d_{y}_values, {1}, {y1})",
    "loss": "d_{y}_values = {reduce}_backward({d}, {y}, {y}_values); "
    "{d0} = {gradient}({cost}d_{y}_values, {1}, {0}{given})",
    "layer": "{targets} = {name}.backward({d})",
    "activation": "{d0} = {name}_backward({row}{d}, {0}{result}{given})",
}
# Names of results of loss operations.
_NAMES = {"sparse_matches": "matches"}
_EXTRAS = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "gradient_accumulation_steps",
)


class Listing:
    """Instructions of a training step by stage; printed with one instruction per line.

    `stages` maps each stage to pairs of instruction and result shape. Functions are those of
    `tinynet.functional` and `tinynet.ops`; names with a dot are methods of layers, losses and
    optimizers. Functions without a result write to an argument.
    """

    def __init__(self, stages: dict[str, list[tuple[str, str]]], note: str = "") -> None:
        self.stages, self.note = stages, note

    def __str__(self) -> str:
        lines = [line for stage in self.stages.values() for line in stage]
        left = max([text.find(" = ") for text, _ in lines if text.find(" = ") < 20], default=0)
        width = max([len(text) + left - max(text.find(" = "), 0) for text, _ in lines], default=0)
        listed = []
        for name, stage in self.stages.items():
            listed.append(name)
            for text, shape in stage:
                target, is_set, call = text.partition(" = ")
                line = f"{target:<{left}}{is_set}{call}" if is_set else text
                listed.append(f"  {line:<{min(width, 70)}}  {shape}".rstrip())
        return "\n".join([*listed, *([self.note] if self.note else [])])

    __repr__ = __str__


class Writer:
    """Converts the instructions of a training step to text, and assigns names to registers."""

    def __init__(self, one: OneStep) -> None:
        self.one, self.model, self.traced = one, one.model, one.program
        self._names = dict(one.names())
        self._shapes = {one.names()[id(v)]: v.shape for v in self.model.weights}
        self._dense = 0  # number of dense layers so far
        outputs = [o for o in self.model._objective.outputs if o.loss is not None]
        inputs = self.traced.program.inputs
        names = [s.name or "x" for s in self.model.inputs] if len(inputs) > 2 else ["x"]
        for symbol, name in zip(inputs, names, strict=False):
            self._name(symbol, name)
        for symbol in inputs[len(self.traced.inputs) :]:
            self._name(symbol, "labels" if symbol.dtype == "int64" else "y")
        several = len(outputs) > 1
        for output, (symbol, _) in zip(outputs, self.traced.losses, strict=True):
            self._name(symbol, f"{output.name}_loss" if several else "loss")

    def listing(self) -> Listing:
        """Return the listing of all stages."""
        program = self.traced.program
        for gradient, out in program.stores:
            self._name(gradient, f"d_{self._path(out)}")
        stages = {
            "forward": [line for n in program.forward if n.scope for line in self._lines(n)],
            "loss": [line for n in program.forward if not n.scope for line in self._lines(n)],
        }
        terms = [f"{w!r} * " * (w != 1) + self.text(s) for s, w in self.traced.losses]
        terms += [self.text(s) for s in self.traced.added]
        regularized = [
            (type(v.regularizer).__name__, self.text(v)) for v in self.model._regularized
        ]
        terms += [f"{kind}({path})" for kind, path in regularized]
        if len(terms) > 1:
            stages["loss"].append((f"total = {' + '.join(terms)}", "1"))
        stages["backward"] = [line for n in program.backward for line in self._lines(n)]
        for kind, path in regularized:
            stages["backward"].append((f"d_{path} = add(d_{path}, {kind}.gradient({path}))", ""))
        stages["update"] = [*self._update()]
        optimizer = self.model.optimizer
        extras = [f"{name}={value!r}" for name in _EXTRAS if (value := getattr(optimizer, name))]
        extras += ["use_ema=True"] * optimizer.use_ema
        extras += [f"the constraint of {self.text(v)}" for v in self.one.plan.constrained]
        return Listing(stages, f"applied with the update: {', '.join(extras)}" if extras else "")

    def _path(self, gradient: Any) -> str:
        """Return the name of the weight that a gradient belongs to."""
        pairs = zip(self.model.trainable_weights, self.model._gradients, strict=True)
        return next(self._names[id(v)] for v, own in pairs if own is gradient)

    def _name(self, symbol: Any, base: str) -> str:
        """Return the name of a register; assign one if needed."""
        name, number = base, 1
        while id(symbol) not in self._names:
            if name not in self._shapes:
                self._names[id(symbol)], self._shapes[name] = name, tuple(symbol.shape)
            number += 1
            name = f"{base}_{number}"
        return self._names[id(symbol)]

    def text(self, value: Any) -> str:
        """Return the text of an argument: the name of a register, or a literal."""
        if id(value) in self._names:
            return self._names[id(value)]
        if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
            value = value.item()
        return self._name(value, "constant") if isinstance(value, np.ndarray) else repr(value)

    def _lines(self, n: Any) -> list[tuple[str, str]]:
        """Return the lines of an instruction."""
        is_backward = isinstance(n.operation, Backward)
        own = n.operation.forward if is_backward else n
        operation, (out, *others) = own.operation, own.outputs
        inputs, gradients = [self.text(i) for i in own.inputs], []
        if is_backward:
            fields = {"y": self.text(out), "d": self.text(n.inputs[0])}
            for i, result in zip(inputs, n.outputs, strict=True):
                gradients.append("None" if result is None else self._name(result, f"d_{i}"))
        else:
            self._dense += operation.name in ("linear", "linear_relu")
            base = (
                f"{'z' if operation.name == 'linear' else 'y'}{self._dense}"
                if n.scope
                else _NAMES.get(operation.name, "value")
            )
            if operation.name == "add" and inputs[0].startswith("d_"):
                base = inputs[0]
            fields = {"y": self._name(out, base)}
        for k, symbol in enumerate(others, 1):
            name = ("p", "mean", "variance")[k - (len(others) < 2)]
            fields[f"y{k}"] = self._name(symbol, name)
        results = (
            [*fields.values()] if not is_backward else [g.replace("None", "_") for g in gradients]
        )
        options = {key: self.text(value) for key, value in own.options.items()}
        fields |= {f"d{k}": gradient for k, gradient in enumerate(gradients)}
        fields |= {"name": operation.name, "shape": repr(tuple(out.shape)), **options}
        fields["targets"] = ", ".join(g for g in gradients if g != "None")
        rows = tuple(getattr((*own.inputs, None)[0], "shape", ()))[:-1]
        template = (_BACKWARD if is_backward else _FORWARD).get(self._kind(operation, rows, fields))
        if template is None:
            before = [fields["d"], fields["y"]] if is_backward else []
            arguments = [*before, *inputs, *(f"{key}={value}" for key, value in options.items())]
            function = f"{operation.name}{'_backward' * is_backward}"
            text = f"{', '.join(results)} = {function}({', '.join(arguments)})"
        else:
            text = template.format(*inputs, **fields)
        if is_backward and hasattr(operation, "loss") and n.inputs[0] != 1:
            text = text.replace(f"({fields['d']}, ", "(1.0, ", 1)
            text += f"; {gradients[0]} = multiply({gradients[0]}, {fields['d']})"
        parts = [p for p in text.split("; ") if not re.match(r"None = |.*None, None\)$", p)]
        return [(part, self._shape_of(part, fields)) for part in parts]

    def _shape_of(self, part: str, fields: dict[str, str]) -> str:
        """Return the shapes of the results of a line."""
        targets, is_set, _ = part.partition(" = ")
        written = [fields[f"d{k}"] for k in (1, 2) if f"d{k}" in fields]
        names = targets.split(", ") if is_set else [name for name in written if name in part]
        shapes = [self._shapes[name] for name in names if name in self._shapes]
        return ", ".join(" x ".join(map(str, shape)) or "1" for shape in shapes)

    def _kind(self, operation: Any, rows: Any, fields: dict[str, str]) -> str:
        """Return the template key of an operation, and set the fields that the template uses."""
        if hasattr(operation, "activation"):
            plain, name = operation.is_plain, operation.name
            is_row = plain and not hasattr(functional, name)
            own = "rectifier" if name == "relu" and not plain else name
            fields["name"], fields["row"] = ("elementwise", f"{name!r}, ") if is_row else (own, "")
            fields["result"] = "" if own == "rectifier" else f", {fields['y']}"
            options = {} if plain else operation.activation.options
            fields["given"] = "".join(f", {k}={v!r}" for k, v in options.items())
            return "activation"
        if not hasattr(operation, "loss"):
            return "layer" if hasattr(operation, "layer") else str(operation.name)
        loss, values = operation.loss, f"{fields['y']}_values"
        self._shapes |= dict.fromkeys((values, f"d_{values}"), rows)
        fields["reduce"] = "mean" if loss.reduction in ("sum_over_batch_size", "mean") else "sum"
        if loss.gives_probabilities:
            return "sparse_softmax_crossentropy"
        cost, kind = getattr(loss, "cost", None), type(loss).__name__
        fields["cost"] = "" if cost is None else f"{cost!r}, "
        fields["given"] = f", {loss.options!r}" if cost is not None and loss.options else ""
        is_plain = getattr(loss, "from_logits", False) and not loss.label_smoothing
        if cost is not None:
            fields["values"] = "mean_error"
        elif kind == "CategoricalCrossentropy" and is_plain:
            fields["values"] = "softmax_crossentropy"
        else:  # methods
            is_function = kind == "FunctionLoss"
            own = loss.name if is_function else f"losses.{kind}"
            fields |= {"values": own + ".call" * (not is_function), "gradient": f"{own}.backward"}
        fields.setdefault("gradient", f"{fields['values']}_backward")
        return "loss"

    def _update(self) -> Any:
        """Yield the lines of the optimizer step for each contiguous group of weights."""
        optimizer, plan = self.model.optimizer, self.one.plan
        left = [(self.text(v), v.size) for v in plan.variables]
        rate = str(np.float32(optimizer.learning_rate))
        b1, b2 = (getattr(optimizer, name, 0) for name in ("beta_1", "beta_2"))
        is_adam = type(optimizer) in (optimizers.Adam, optimizers.AdamW)
        if is_adam:
            t = int(optimizer.iterations) + 1
            yield f"alpha = adam_step_size({rate}, {b1}, {b2}, {t})", "1"
        for k, (flat, *_) in enumerate(plan.flat, 1):
            end, size = "" if len(plan.flat) == 1 else f"_{k}", f"{flat.size:,}"
            own: list[Any] = []
            while sum(size for _, size in own) < flat.size:
                own.append(left.pop(0))
            yield f"weights{end} = [{', '.join(name for name, _ in own)}]", size
            yield f"d_weights{end} = [{', '.join(f'd_{name}' for name, _ in own)}]", size
            slots = [f"{name}{end}" for name in optimizer.slot_names]
            function = f"{type(optimizer).__name__}.update"
            arguments = [rate, f"weights{end}", f"d_weights{end}", *slots]
            if is_adam:
                rest = ["alpha", f"1 - {b1}", f"1 - {b2}", f"{optimizer.epsilon}", *slots[2:]]
                function, arguments = "adam", [*arguments[1:3], *slots[:2], *rest]
            elif type(optimizer) is optimizers.SGD and not slots:
                function, arguments = "sgd", [*arguments[1:], rate]
            yield f"{function}({', '.join(arguments)})", size


def program_of(model: Any, batch_size: int, fused: bool) -> Listing:
    """Return the listing of a training step; if `fused`, of the step as it is executed."""
    size = checks.whole("batch_size", batch_size)
    checks.flag("fused", fused)
    model._require_compiled("program")
    expected = f"{model.name} must be built before calling program; call build(input_shape) or fit"
    checks.require(model.built, expected, "built=False")
    inputs = [np.zeros((size, *s.shape[1:]), s.dtype) for s in model.inputs]
    own = copied(model, "program")
    shapes = own._output_shapes(inputs)  # also determines the outputs of a subclass
    targets: list[Any] = []
    for output, shape in zip(own._objective.outputs, shapes, strict=True):
        is_labels = isinstance(output.loss, SparseCategoricalCrossentropy)
        target = np.zeros((size, *shape[1 : -1 if is_labels else None]), model.dtype)
        targets.append(None if output.loss is None else target)
    y = targets[0] if len(targets) == 1 else targets
    one = OneStep(own, own._structured(inputs), y, fuse=fused)
    if fused and (compiled := one.compiled()) is not None:
        what = "kernels; each call executes many steps"
        if compiled.by_python:
            what = "kernels, and Python executes python(...); each call executes one step"
        return Listing({"step": compiled.rows()}, f"One compiled runner executes these {what}.")
    return Writer(one).listing()
