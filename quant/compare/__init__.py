"""Float outputs against quantized outputs on the same batches: metrics, errors, tables of samples."""
