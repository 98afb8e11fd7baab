"""The files that lie beside the graph for Huawei Atlas (Ascend)."""
