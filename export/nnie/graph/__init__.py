"""The graph for HiSilicon NNIE: its split, its precisions, and the Caffe network's layers."""
