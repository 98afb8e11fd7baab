"""The source tree as the tests of architecture, packaging and names see it, read and not imported."""

__all__ = ["FOLDERS", "MODULES", "ROOT"]

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("quant", "observers", "calibration", "export", "visualize")


def _modules() -> dict[str, Path]:
    """Return every module's dotted name and its file below a root folder, not through a link."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path != path.resolve():  # reached through quant/observers and its like
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join(parts if parts[0] == "quant" else ("quant", *parts))] = path
    return found


MODULES = _modules()
