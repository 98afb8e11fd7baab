"""A small network and labelled images that ship with the package, for `quant demo`."""
