"""Huawei Atlas (Ascend): its table, its writer, its files and its rules."""
