"""ONNX to Caffe: a prepared graph as prototxt and caffemodel."""
