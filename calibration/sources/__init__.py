"""Where samples come from: folders, lists, arrays, Python functions and data in memory."""
