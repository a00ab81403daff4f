"""Translation of Keras 2.2 to 2.15 configurations to Keras 3.

Only the representation differs: key names, the nodes of functional models (lists in Keras 2), and
the configurations of optimizers, losses and metrics.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from tinynet._core.checks import require, shorten
from tinynet._core.registry import map_entries
from tinynet.metrics.metric import _registry as metrics

_RENAMED = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "Dense": {"init": "kernel_initializer", "output_dim": "units", "bias": "use_bias"},
}
_LOSSES = {
    "kullback_leibler_divergence": "kl_divergence", "huber_loss": "huber", "logcosh": "log_cosh",
}  # fmt: skip


def translate_model(config: Any) -> Any:
    """Translate the configuration of a model or layer, including nested ones."""
    fits = isinstance(config, dict) and config.keys() >= {"class_name", "config"}
    expected = "A layer's configuration must have 'class_name' and 'config'"
    require(fits, expected, shorten(config))
    name, inner = config["class_name"], config["config"]
    if name == "Sequential" and isinstance(inner, list):
        inner = {"layers": inner}
    require(isinstance(inner, dict), "A layer's config must be a dict", shorten(inner))
    if isinstance(inner.get("layers"), list):
        return _translate_container(config, name, inner)
    names, shape = _RENAMED.get(name, {}), inner.get("batch_input_shape")
    dropped = {"batch_input_shape", "input_dtype"}
    dropped |= {key for key in ("ragged", "sparse") if not inner.get(key)}
    if shape is not None and name != "InputLayer":  # `_translate_container` adds an InputLayer
        dropped |= {"input_shape", "input_dim"}
    inner = {names.get(k, k): _object(v) for k, v in inner.items() if k not in dropped}
    changed = "its formula changed from clip(0.2 * x + 0.5, 0, 1) to clip(x / 6 + 0.5, 0, 1)"
    expected = f"hard_sigmoid of Keras 2 is not supported: {changed}"
    require(inner.get("activation") != "hard_sigmoid", expected, "activation='hard_sigmoid'")
    if isinstance(inner.get("activation"), str):
        inner["activation"] = inner["activation"].removesuffix("_v2")
    if shape is not None and name == "InputLayer":
        inner["batch_shape"] = shape
    axis = inner.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        inner["axis"] = axis[0]
    return {**config, "config": inner}


def _translate_container(config: dict[str, Any], name: Any, inner: dict[str, Any]) -> Any:
    """Translate the configuration of a Sequential or functional model."""
    # The calls of a nested model are numbered from 1.
    kinds = {la.get("name"): la.get("class_name") for la in inner["layers"] if "class_name" in la}
    models = {n for n, kind in kinds.items() if kind in ("Sequential", "Functional", "Model")}
    listed = [translate_model(layer) for layer in inner["layers"]]
    for made in listed:
        if "inbound_nodes" in made:
            made["inbound_nodes"] = [_node(node, models) for node in made["inbound_nodes"]]
    if name == "Sequential" and listed and listed[0]["class_name"] != "InputLayer":
        first = inner["layers"][0]["config"]
        shape = first.get("batch_input_shape") if isinstance(first, dict) else None
        if shape is not None:
            entry = {"batch_shape": shape, "name": f"{first.get('name', 'sequential')}_input"}
            dtype = first.get("input_dtype") or first.get("dtype")
            if dtype in ("float32", "float64"):
                entry["dtype"] = dtype
            listed.insert(0, {"class_name": "InputLayer", "config": entry})
    inner = {**inner, "layers": listed}
    if ends := inner.get("output_layers"):
        inner["output_layers"] = [
            [layer, number - (kinds.get(layer) == "Sequential" and number > 0), result]
            for layer, number, result in ([ends] if isinstance(ends[0], str) else ends)
        ]
    name = "Functional" if name == "Model" else name
    return {**config, "class_name": name, "config": inner}


def _node(node: Any, models: set[Any]) -> dict[str, Any]:
    """Translate the inputs of a call, ``[[name, node, tensor, {arguments}], ...]``."""
    if isinstance(node, dict):  # Keras 3
        return node
    sources = [node] if node and isinstance(node[0], str) else node
    args = []
    kwargs: dict[str, Any] = {}
    for name, number, result, *asked in sources:
        for given in asked:
            kwargs |= {key: value for key, value in given.items() if value not in (None, False)}
        history = {"keras_history": [name, number - (name in models and number > 0), result]}
        args.append({"class_name": "__keras_tensor__", "config": history})
    return {"args": args if len(args) == 1 else [args], "kwargs": kwargs}


def _object(value: Any) -> Any:
    """Translate the configuration of an initializer, regularizer or constraint."""
    if not _is_object(value):
        return value
    inner = _without("dtype", value)
    if inner.get("distribution") == "normal":  # always truncated in Keras 2
        inner["distribution"] = "truncated_normal"
    return {**value, "config": inner}


def translate_training(config: dict[str, Any]) -> dict[str, Any]:
    """Translate ``training_config``, the compile arguments."""
    optimizer = config.get("optimizer")
    if _is_object(optimizer):
        inner = {k: v for k, v in optimizer["config"].items() if k != "epsilon" or v is not None}
        if "lr" in inner:
            inner["learning_rate"] = inner.pop("lr")
        decay = inner.pop("decay", None) or inner.pop("initial_decay", None)
        inner.pop("schedule_decay", None)
        name = str(optimizer.get("class_name")).removeprefix("Custom>")
        # In Nadam, `decay` was the decay of the momentum schedule, not of the learning rate.
        if decay and name != "Nadam":  # rate / (1 + decay * iterations)
            schedule = {"initial_learning_rate": inner["learning_rate"], "decay_steps": 1}
            schedule["decay_rate"] = decay
            inner["learning_rate"] = {"class_name": "InverseTimeDecay", "config": schedule}
        optimizer = {"class_name": name, "config": inner}
    loss = _each(config.get("loss"), _loss)
    return {
        "loss": map_entries(lambda v: _LOSSES.get(v, v) if isinstance(v, str) else v, loss),
        "loss_weights": config.get("loss_weights") or None,
        "optimizer": optimizer,
        **{key: _each(config.get(key), _metric) for key in ("metrics", "weighted_metrics")},
    }


def _each(value: Any, translate: Any) -> Any:
    """Translate configurations in lists and dicts; unwrap a list that contains a single list."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return map_entries(lambda v: translate(v) if _is_object(v) else v, value) or None


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and isinstance(value.get("config"), dict)


def _without(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in value["config"].items() if name != key}


def _loss(value: dict[str, Any]) -> Any:
    if value["class_name"] == "LossFunctionWrapper":
        return value["config"].get("fn")
    inner = _without("fn", value)
    if inner.get("reduction") == "auto":
        inner["reduction"] = "sum_over_batch_size"
    return {**value, "config": inner}


def _metric(value: dict[str, Any]) -> Any:
    inner = value["config"]
    if value["class_name"] not in ("MeanMetricWrapper", "SumOverBatchSizeMetricWrapper"):
        return {**value, "config": _without("fn", value)}
    name, function = inner.get("name"), inner.get("fn")
    return name if name in (*metrics.names, "acc", "accuracy", "crossentropy", "ce") else function
