"""Report of the differences between tinynet and Keras: ``make parity``.

``python -m tests.parity`` trains both libraries from the same initial weights, runs the cases of
each layer, activation, loss, metric and optimizer, and writes ``docs/parity.json``, from which the
tables of ``docs/parity.md`` are generated. It requires tinynet, Keras and TensorFlow; with JAX, it
also measures how much Keras differs from itself.
"""
