"""HiSilicon NNIE: its table, and the writer of its folder."""
