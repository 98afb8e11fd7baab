"""Profiles: the statistics of every activation over the calibration samples, and their file."""
