"""What a user asked of `quant calibrate`: settings and search goal, checked once."""
