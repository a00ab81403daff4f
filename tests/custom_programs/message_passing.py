"""Node classification on a fixed graph: gather, segment sums and integer inputs."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tests.custom_programs import common


def data(rng):
    feats = rng.standard_normal((40, 6)).astype("float32")
    edges = rng.integers(0, 40, (2, 120))
    return feats, edges, np.arange(40), rng.integers(0, 3, 40)


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

    def aggregate(self, node_indices, messages, num_nodes):
        if self.aggregation_type == "sum":
            return tf.math.unsorted_segment_sum(messages, node_indices, num_segments=num_nodes)
        return tf.math.unsorted_segment_mean(messages, node_indices, num_segments=num_nodes)

    def call(self, inputs):
        nodes, edges, edge_weights = inputs
        node_indices, neighbour_indices = edges[0], edges[1]
        messages = self.ffn_prepare(tf.gather(nodes, neighbour_indices))
        messages = messages * tf.expand_dims(edge_weights, -1)
        aggregated = self.aggregate(node_indices, messages, nodes.shape[0])
        if self.combination_type == "concat":
            h = tf.concat([nodes, aggregated], axis=1)
        else:
            h = nodes + aggregated
        embeddings = self.update_fn(h)
        return tf.nn.l2_normalize(embeddings, axis=-1) if self.normalize else embeddings


class GNNNodeClassifier(keras.Model):
    def __init__(self, graph_info, num_classes, hidden_units, **kwargs):
        super().__init__(**kwargs)
        self.node_features, self.edges = graph_info
        edge_weights = tf.ones(shape=self.edges.shape[1])
        self.edge_weights = edge_weights / tf.math.reduce_sum(edge_weights)
        self.preprocess = create_ffn(hidden_units, name="preprocess")
        self.conv1 = GraphConvLayer(hidden_units, "sum", "add", normalize=True)
        self.conv2 = GraphConvLayer(hidden_units, "mean", "concat")
        self.postprocess = create_ffn(hidden_units, name="postprocess")
        self.compute_logits = layers.Dense(units=num_classes, name="logits")

    def call(self, input_node_indices):
        x = self.preprocess(self.node_features)
        for convolution in (self.conv1, self.conv2):
            x = convolution((x, self.edges, self.edge_weights)) + x
        return self.compute_logits(tf.gather(self.postprocess(x), input_node_indices))


def make():
    feats, edges, *_ = data(np.random.default_rng(0))
    graph = tf.constant(feats), tf.constant(edges)
    gnn = GNNNodeClassifier(graph_info=graph, num_classes=3, hidden_units=[8, 8], name="gnn")
    gnn(tf.constant([1, 10, 20]))
    return gnn


def train(gnn, feats, edges, idx, y):
    gnn.compile(
        optimizer=keras.optimizers.Adam(0.01, epsilon=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
    )
    figures = common.fit(gnn, idx, y, epochs=4, batch_size=20)
    logits = gnn.predict(tf.convert_to_tensor(idx[:5]), verbose=0)
    probabilities = keras.activations.softmax(tf.convert_to_tensor(logits)).numpy()
    return figures + probabilities.ravel().tolist()
