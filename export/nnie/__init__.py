"""HiSilicon NNIE: its table, its writer, its files and its rules."""
