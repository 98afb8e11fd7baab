"""A Caffe network: its layers, names, shapes, windows and files."""
