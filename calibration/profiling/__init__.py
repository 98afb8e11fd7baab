"""The profiling run: the statistics of every activation in one pass over the samples."""
