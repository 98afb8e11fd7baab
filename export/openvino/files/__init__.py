"""The files beside the graph for Intel OpenVINO."""
