"""Q/DQ graphs: how targets read, walk and save QuantizeLinear and DequantizeLinear."""
