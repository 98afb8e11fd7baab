"""Targets: what a runtime can execute, as a table, and what its checks report."""
