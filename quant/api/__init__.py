"""The Python API: the functions and classes that `import quant` offers, light until they are used."""
