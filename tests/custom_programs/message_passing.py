"""Node classification on a graph that the model holds: gather, segment sums, integer inputs."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def data(rng):
    feats = rng.standard_normal((40, 6)).astype("float32")
    edges = rng.integers(0, 40, (2, 120))
    y = rng.integers(0, 3, 40)
    return feats, edges, np.arange(40), y


def create_ffn(hidden_units, name=None):
    fnn_layers = []
    for units in hidden_units:
        fnn_layers.append(layers.BatchNormalization())
        fnn_layers.append(layers.Dropout(0.0))
        fnn_layers.append(layers.Dense(units, activation="gelu"))
    return keras.Sequential(fnn_layers, name=name)


class GraphConvLayer(layers.Layer):
    def __init__(self, hidden_units, aggregation, combination, normalize=False, **kwargs):
        super().__init__(**kwargs)
        self.aggregation_type = aggregation
        self.combination_type = combination
        self.normalize = normalize
        self.ffn_prepare = create_ffn(hidden_units)
        self.update_fn = create_ffn(hidden_units)

    def prepare(self, node_repesentations, weights=None):
        messages = self.ffn_prepare(node_repesentations)
        if weights is not None:
            messages = messages * tf.expand_dims(weights, -1)
        return messages

    def aggregate(self, node_indices, neighbour_messages, node_repesentations):
        num_nodes = node_repesentations.shape[0]
        if self.aggregation_type == "sum":
            return tf.math.unsorted_segment_sum(
                neighbour_messages, node_indices, num_segments=num_nodes
            )
        return tf.math.unsorted_segment_mean(
            neighbour_messages, node_indices, num_segments=num_nodes
        )

    def update(self, node_repesentations, aggregated_messages):
        if self.combination_type == "concat":
            h = tf.concat([node_repesentations, aggregated_messages], axis=1)
        else:
            h = node_repesentations + aggregated_messages
        node_embeddings = self.update_fn(h)
        if self.normalize:
            node_embeddings = tf.nn.l2_normalize(node_embeddings, axis=-1)
        return node_embeddings

    def call(self, inputs):
        node_repesentations, edges, edge_weights = inputs
        node_indices, neighbour_indices = edges[0], edges[1]
        neighbour_repesentations = tf.gather(node_repesentations, neighbour_indices)
        neighbour_messages = self.prepare(neighbour_repesentations, edge_weights)
        aggregated_messages = self.aggregate(node_indices, neighbour_messages, node_repesentations)
        return self.update(node_repesentations, aggregated_messages)


class GNNNodeClassifier(keras.Model):
    def __init__(self, graph_info, num_classes, hidden_units, **kwargs):
        super().__init__(**kwargs)
        node_features, edges, edge_weights = graph_info
        self.node_features = node_features
        self.edges = edges
        self.edge_weights = edge_weights
        if self.edge_weights is None:
            self.edge_weights = tf.ones(shape=edges.shape[1])
        self.edge_weights = self.edge_weights / tf.math.reduce_sum(self.edge_weights)
        self.preprocess = create_ffn(hidden_units, name="preprocess")
        self.conv1 = GraphConvLayer(hidden_units, "sum", "add", normalize=True)
        self.conv2 = GraphConvLayer(hidden_units, "mean", "concat")
        self.postprocess = create_ffn(hidden_units, name="postprocess")
        self.compute_logits = layers.Dense(units=num_classes, name="logits")

    def call(self, input_node_indices):
        x = self.preprocess(self.node_features)
        x1 = self.conv1((x, self.edges, self.edge_weights))
        x = x1 + x
        x2 = self.conv2((x, self.edges, self.edge_weights))
        x = x2 + x
        x = self.postprocess(x)
        node_embeddings = tf.gather(x, input_node_indices)
        return self.compute_logits(node_embeddings)


GRAPH = data(np.random.default_rng(0))


def make():
    gnn = GNNNodeClassifier(
        graph_info=(tf.constant(GRAPH[0]), tf.constant(GRAPH[1]), None),
        num_classes=3,
        hidden_units=[8, 8],
        name="gnn",
    )
    gnn(tf.constant([1, 10, 20]))
    return gnn


def train(gnn, feats, edges, idx, y):
    gnn.compile(
        optimizer=keras.optimizers.Adam(0.01, epsilon=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
    )
    h = gnn.fit(idx, y, epochs=4, batch_size=20, shuffle=False, verbose=0)
    logits = gnn.predict(tf.convert_to_tensor(idx[:5]), verbose=0)
    probabilities = keras.activations.softmax(tf.convert_to_tensor(logits)).numpy()
    return h.history["loss"] + h.history["acc"] + probabilities.ravel().tolist()
