"""Where the data comes from, and the run that looks at every activation once."""
