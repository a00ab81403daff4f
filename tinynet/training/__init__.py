"""Training, evaluation and prediction loops, and the conversion of data to batches.

The formulas are in `functional`.
"""
