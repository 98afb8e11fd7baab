"""ONNX operators as Caffe layers, one family a file."""
