"""Float outputs against quantized outputs on the same batches: errors, times, tables of samples."""
