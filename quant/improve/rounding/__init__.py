"""Learned rounding: weights rounded up or down so that a block's output error falls."""
