"""The targets, one folder each, and what several of them share: Q/DQ graphs and Caffe."""
