"""Steps that recover accuracy after quantization; each is kept only if held-out samples gain."""
