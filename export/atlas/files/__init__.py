"""The files beside the graph for Huawei Atlas (Ascend)."""
