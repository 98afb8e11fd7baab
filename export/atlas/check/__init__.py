"""The rules that say what Huawei Atlas (Ascend) will not take."""
