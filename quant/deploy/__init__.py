"""The output folder of one target, written whole or not at all, and fallback to float."""
