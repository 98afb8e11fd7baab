"""Which samples to calibrate with: coverage, duplicates, outliers, and how many are enough."""
