"""The files that lie beside the graph for HiSilicon NNIE."""
