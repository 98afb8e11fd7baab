"""A package that is none of ours: a target, a metric, an observer and a data source for a toy board.

`test_an_outside_package.py` installs it beside us, with its entry points, and touches no file of ours.
"""
