"""The error of every layer: alone, accumulated and at its own output; the layer table."""
