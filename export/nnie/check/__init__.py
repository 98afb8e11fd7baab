"""The rules that say what HiSilicon NNIE will not take."""
