"""Metrics: how good a network's outputs are, one file a metric or a family of them."""
