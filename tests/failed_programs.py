"""Random programs that failed in the past."""

from __future__ import annotations

from tests.random_programs import Program

# fmt: off
P5 = Program(seed=5, shape=(5,), layers=[("Dense", {"units": 17, "activation": "hard_sigmoid",
    "use_bias": True, "kernel_regularizer": ("L2", {"l2": 0.01}), "bias_regularizer": ("L2",
    {"l2": 0.01})}), ("Dropout", {"rate": 0.0}), ("Dense", {"units": 6, "activation": "relu6",
    "use_bias": False}), ("BatchNormalization", {"momentum": 0.8, "scale": True}), ("Dense",
    {"units": 17, "activation": "linear", "use_bias": True, "kernel_constraint": ("NonNeg", {})}),
    ("Dropout", {"rate": 0.0}), ("Dense", {"units": 3, "activation": "sigmoid", "use_bias":
    True})], loss=("BinaryFocalCrossentropy", {"apply_class_balancing": True}), optimizer=("SGD",
    {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}), kind="binary", rows=11,
    output=(3,), schedule=("ExponentialDecay", {"initial_learning_rate": 0.05, "decay_steps": 3,
    "decay_rate": 0.5}), metrics=["binary_crossentropy"], fit={"batch_size": 8, "epochs": 2},
    validation="data")
P22 = Program(seed=22, shape=(40,), layers=[("Rescaling", {"scale": 0.5, "offset": 0.1}),
    ("Flatten", {}), ("Dense", {"units": 3, "activation": "gelu", "use_bias": True,
    "bias_regularizer": ("L1L2", {"l1": 0.001, "l2": 0.02}), "kernel_constraint": ("MaxNorm",
    {"max_value": 0.8})}), ("BatchNormalization", {"momentum": 0.8, "scale": True}), ("Dense",
    {"units": 4, "activation": "softmax", "use_bias": False})], loss=("KLDivergence", {}),
    optimizer=("RMSprop", {"learning_rate": 0.01, "epsilon": 0.001, "momentum": 0.5, "centered":
    True, "global_clipnorm": 0.7}), kind="one-hot", rows=25, output=(4,), metrics=["accuracy"],
    fit={"batch_size": 8, "epochs": 3}, validation="data", weighted=True)
P36 = Program(seed=36, shape=(5,), layers=[("Flatten", {}), ("Dense", {"units": 17, "activation":
    "gelu", "use_bias": True}), ("Dropout", {"rate": 0.0}), ("Dense", {"units": 17, "activation":
    "softplus", "use_bias": True}), ("BatchNormalization", {"momentum": 0.8, "scale": True}),
    ("Dense", {"units": 1, "activation": None, "use_bias": True, "kernel_regularizer": ("L1L2",
    {"l1": 0.001, "l2": 0.02})})], loss=("MeanAbsoluteError", {"reduction": "sum"}),
    optimizer=("Adagrad", {"learning_rate": 0.0005, "epsilon": 0.001, "weight_decay": 0.05}),
    kind="numbers", rows=15, output=(1,), metrics=["root_mean_squared_error"], fit={"batch_size":
    4, "epochs": 3}, validation="data")
P40 = Program(seed=40, shape=(40,), layers=[("Dense", {"units": 6, "activation": "selu",
    "use_bias": False}), ("BatchNormalization", {"momentum": 0.8, "scale": True}), [("Dense",
    {"units": 1, "activation": "relu", "use_bias": True, "kernel_regularizer": ("L2", {"l2":
    0.01})})], ("Dense", {"units": 1, "activation": None, "use_bias": True, "kernel_regularizer":
    ("L2", {"l2": 0.01})})], loss=("LogCosh", {}), optimizer=("SGD", {"learning_rate": 0.1,
    "weight_decay": 0.05}), kind="numbers", rows=16, output=(1,),
    metrics=["root_mean_squared_error"], fit={"batch_size": 32, "epochs": 3}, validation="split")
P44 = Program(seed=44, shape=(40,), layers=[("Flatten", {}), ("Dense", {"units": 3, "activation":
    "silu", "use_bias": False, "kernel_regularizer": ("L2", {"l2": 0.01})}),
    ("BatchNormalization", {"momentum": 0.8, "scale": True}), ("Dense", {"units": 4, "activation":
    "softmax", "use_bias": True})], loss=("SparseCategoricalCrossentropy", {"ignore_class": 1}),
    optimizer=("Adam", {"learning_rate": 0.01, "epsilon": 0.001}), kind="classes", rows=28,
    output=(4,), metrics=["accuracy", "sparse_categorical_crossentropy"], fit={"batch_size": 5,
    "epochs": 1}, validation="split", weighted=True)
P8 = Program(seed=8, shape=(40,), layers=[("Flatten", {}), ("Dense", {"units": 3, "activation":
    None, "use_bias": True})], loss=("Huber", {"delta": 0.7}), optimizer=("Nadam",
    {"learning_rate": 0.01, "epsilon": 0.001}), kind="numbers", rows=9, output=(3,),
    metrics=["mae", "mse", "root_mean_squared_error"], weighted_metrics=["mae"],
    fit={"batch_size": 8, "epochs": 3}, validation="split", weighted=True)
P46 = Program(seed=46, shape=(3, 4), layers=[("Dense", {"units": 3, "activation": None,
    "use_bias": True})], loss=("MeanAbsoluteError", {}), optimizer=("SGD", {"learning_rate": 0.05,
    "momentum": 0.8, "nesterov": True, "clipnorm": 0.5}), kind="numbers", rows=11, output=(3, 3),
    metrics=["mae", "mse"], weighted_metrics=["mse"], fit={"batch_size": 4, "epochs": 1},
    validation="split")
P198 = Program(seed=198, shape=(40,), layers=[("Dense", {"units": 17, "activation": "exponential",
    "use_bias": True, "kernel_regularizer": ("L1", {"l1": 0.01}), "kernel_constraint": ("MaxNorm",
    {"max_value": 0.8})}), ("Dropout", {"rate": 0.0}), ("Dense", {"units": 17, "activation":
    "exponential", "use_bias": True, "kernel_constraint": ("NonNeg", {})}), ("Activation",
    {"activation": "relu"}), ("Dense", {"units": 6, "activation": "exponential", "use_bias":
    True}), ("Dense", {"units": 1, "activation": None, "use_bias": True})],
    loss=("MeanSquaredError", {}), optimizer=("SGD", {"learning_rate": 0.1, "weight_decay":
    0.05}), kind="numbers", rows=15, output=(1,), schedule=("ExponentialDecay",
    {"initial_learning_rate": 0.05, "decay_steps": 3, "decay_rate": 0.5}), metrics=["mae"],
    fit={"batch_size": 5, "epochs": 3})
P15 = Program(seed=15, shape=(2, 3, 2), layers=[("Rescaling", {"scale": 0.5, "offset": 0.1}),
    ("Flatten", {}), ("Dense", {"units": 1, "activation": "hard_sigmoid", "use_bias": True}),
    ("BatchNormalization", {"momentum": 0.8, "scale": False}), ("Dense", {"units": 3,
    "activation": None, "use_bias": True, "kernel_regularizer": ("L1", {"l1": 0.01})})],
    loss=("LogCosh", {}), optimizer=("SGD", {"learning_rate": 0.1, "global_clipnorm": 0.7}),
    kind="numbers", rows=18, output=(3,), metrics=["mae"], fit={"batch_size": 5, "epochs": 1})
P31 = Program(seed=31, shape=(9,), layers=[("Flatten", {}), ("Dense", {"units": 4, "activation":
    None, "use_bias": True, "kernel_regularizer": ("L2", {"l2": 0.01})})],
    loss=("CategoricalCrossentropy", {"from_logits": True}), optimizer=("RMSprop",
    {"learning_rate": 0.01, "epsilon": 0.001, "weight_decay": 0.05}), kind="one-hot", rows=9,
    output=(4,), schedule=("PolynomialDecay", {"initial_learning_rate": 0.05, "decay_steps": 6}),
    metrics=["top_k_categorical_accuracy"], fit={"batch_size": 5, "epochs": 3},
    validation="split")
P45 = Program(seed=45, shape=(40,), layers=[("Dense", {"units": 3, "activation": "sigmoid",
    "use_bias": True}), ("ReLU", {"negative_slope": 0.1, "threshold": 0.1, "max_value": 1.5}),
    ("Dense", {"units": 17, "activation": "gelu", "use_bias": False, "kernel_regularizer":
    ("L1L2", {"l1": 0.001, "l2": 0.02})}), ("ReLU", {"negative_slope": 0.1, "threshold": 0.1,
    "max_value": 1.5}), ("Dense", {"units": 6, "activation": "silu", "use_bias": True}), ("Dense",
    {"units": 3, "activation": None, "use_bias": True})], loss=("MeanSquaredError", {"reduction":
    "sum"}), optimizer=("AdamW", {"learning_rate": 0.0001, "epsilon": 0.001, "weight_decay": 0.1,
    "clipvalue": 0.1}), kind="numbers", rows=19, output=(3,), metrics=["mae",
    "root_mean_squared_error"], fit={"batch_size": 4, "epochs": 3}, validation="data")
P49 = Program(seed=49, shape=(5,), layers=[("Dense", {"units": 17, "activation": "hard_sigmoid",
    "use_bias": False}), ("Dense", {"units": 4, "activation": "softmax", "use_bias": True,
    "kernel_regularizer": ("L2", {"l2": 0.01}), "bias_regularizer": ("L1", {"l1": 0.01})})],
    loss=("SparseCategoricalCrossentropy", {}), optimizer=("AdamW", {"learning_rate": 0.01,
    "epsilon": 0.001, "weight_decay": 0.1}), kind="classes", rows=10, output=(4,),
    schedule=("PolynomialDecay", {"initial_learning_rate": 0.05, "decay_steps": 6}),
    metrics=["accuracy"], fit={"batch_size": 32, "epochs": 2}, weighted=True)
P78 = Program(seed=78, shape=(5,), layers=[[("Dense", {"units": 6, "activation": "hard_sigmoid",
    "use_bias": True, "kernel_regularizer": ("L1", {"l1": 0.01})}), ("Activation", {"activation":
    "linear"})], ("Dense", {"units": 3, "activation": None, "use_bias": True,
    "kernel_regularizer": ("L2", {"l2": 0.01})})], loss=("Huber", {"delta": 0.7, "reduction":
    "sum"}), optimizer=("AdamW", {"learning_rate": 0.0001, "epsilon": 0.001, "weight_decay":
    0.1}), kind="numbers", rows=25, output=(3,), metrics=["mae"], weighted_metrics=["mae"],
    fit={"batch_size": 32, "epochs": 3}, validation="split", weighted=True)
EQUAL_ROWS = Program(seed=818647748351, shape=(1,), layers=[("Dense", {"units": 6, "activation":
    "tanh", "bias_initializer": ("RandomUniform", {"minval": 0.1, "maxval": 0.6})}),
    ("BatchNormalization", {"center": False}), ("RepeatVector", {"n": 2}), ("TimeDistributed",
    {"layer": ("Dense", {"units": 6, "activation": "relu6"})}), ("Flatten", {}), ("Dense",
    {"units": 3, "activation": None})], loss=("BinaryCrossentropy", {"label_smoothing": 0.1,
    "from_logits": True}), optimizer=("SGD", {"learning_rate": 0.05, "clipnorm": 0.5}),
    kind="binary", rows=12, output=(3,), metrics=[("Accuracy", {"name": "accuracy"})],
    fit={"batch_size": 5, "epochs": 1}, weighted=True)

FAILED = {
    # float64 layers next to batch normalization
    "backends": [P5, P22, P36, P40, P44],
    "files": [P22],
    # the order of metrics and their validation, divergence because of three exponentials, and
    # batch normalization of equal rows
    "keras": [P8, P46, P198, EQUAL_ROWS],
    # a norm over a single row, and weight decay combined with a penalty or with clipping by norm
    "rules": [P15, P31, P45, P49, P78],
    "threads": [],
}
# fmt: on
DIVERGES = P198
