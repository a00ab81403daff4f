"""The loss and the accuracy of labels."""

import numpy as np

from tinynet.jit import jit


@jit()
def softmax_crossentropy_step(labels, logits, d_values, probabilities, d_logits, values):
    one = logits.dtype.type(1)
    for i in range(logits.shape[0]):
        top = logits[i, 0]
        for c in range(1, logits.shape[1]):
            top = max(top, logits[i, c])
        total = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            probabilities[i, c] = np.exp(logits[i, c] - top)
            total += probabilities[i, c]
        values[i] = np.log(total) - (logits[i, labels[i]] - top)
        for c in range(logits.shape[1]):
            probabilities[i, c] /= total
            d_logits[i, c] = probabilities[i, c] * d_values[i]
        d_logits[i, labels[i]] = (probabilities[i, labels[i]] - one) * d_values[i]


@jit()
def sparse_matches(labels, scores):
    count = 0
    for i in range(scores.shape[0]):
        best, top = 0, scores[i, 0]
        for c in range(1, scores.shape[1]):
            x = scores[i, c]
            if x > top or (x != x and top == top):  # NaN is greater than any number
                best, top = c, x
        count += best == labels[i]
    return count
