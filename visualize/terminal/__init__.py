"""Tables and verdicts for the terminal and for CI."""
