"""The command line: parse the options, run one job, print the result."""
