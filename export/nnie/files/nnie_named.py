"""Files that a configuration or a list names, however oddly, and why one cannot be read."""

__all__ = ["is_file", "named_file", "why"]

from pathlib import Path


def named_file(folder: Path, name: str) -> Path:
    """Return the file that a configuration or a list names; RuyiStudio writes backslashes."""
    path = folder / name
    try:
        return path if path.exists() else folder / name.replace("\\", "/")
    except OSError:  # a name that is too long, say
        return path


def is_file(path: Path) -> bool:
    """Tell whether a path, however odd, is a file."""
    try:
        return path.is_file()
    except OSError:
        return False


def why(error: Exception) -> str:
    """Return why a file could not be read, without a full stop."""
    told = error.strerror if isinstance(error, OSError) else str(error)
    return str(told or type(error).__name__).rstrip(".")
