"""Training, evaluation and prediction: data, batches, losses and metrics, without the maths."""
