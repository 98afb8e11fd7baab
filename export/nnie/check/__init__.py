"""The rules of `quant check` for HiSilicon NNIE."""
