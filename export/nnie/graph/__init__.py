"""What is done to the graph for HiSilicon NNIE."""
