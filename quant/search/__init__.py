"""Mixed precision: the cheapest precision for every group of layers that is accurate enough."""
