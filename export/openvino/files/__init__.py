"""The files that lie beside the graph for Intel OpenVINO."""
