"""Training, evaluation and prediction: data, batches, objectives, and no maths."""
