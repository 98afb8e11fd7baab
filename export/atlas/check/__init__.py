"""The rules of `quant check` for Huawei Atlas (Ascend)."""
