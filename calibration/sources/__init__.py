"""Where samples come from: folders, lists, arrays and Python functions."""
