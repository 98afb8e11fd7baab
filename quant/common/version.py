"""The version of this package, for files that name what wrote them."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
