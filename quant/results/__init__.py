"""A finished run read back from its folder, and two runs compared."""
