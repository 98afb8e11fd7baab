"""The files beside the graph for HiSilicon NNIE."""
