"""What is done to the graph for Huawei Atlas (Ascend)."""
