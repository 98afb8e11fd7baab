"""Huawei Atlas (Ascend): its table, and the writer of its folder."""
