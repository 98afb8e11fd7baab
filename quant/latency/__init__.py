"""Times of layers and kernels measured on this machine."""
