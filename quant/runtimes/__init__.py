"""The programs on this machine that execute exports, one file each, and their profilers."""
