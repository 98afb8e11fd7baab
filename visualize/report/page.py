"""HTML pages from templates: escaped, in one file, with nothing loaded from elsewhere."""

__all__ = ["decibel", "listed", "percent", "render", "template_text"]

import base64
import hashlib
import math
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from quant.visualize.label import escaped

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, script: str, **values: Any) -> str:
    """Return a page in which every printed value is escaped.

    Should a value slip through, the page's Content-Security-Policy allows only this script and this
    style, by their hashes, and no request.

    Args:
        template: Name of an HTML file in `templates/`.
        script: JavaScript of the page; "" for none.
        values: Values that the template prints.
    """
    style = template_text("report.css")
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script) if script else "'none'",
            **values,
        )
    )


@cache
def template_text(name: str) -> str:
    """Return a file of `templates/`."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"line": escaped, "decibel": decibel, "percent": percent}
    environment.filters |= {"listed": listed, "words": lambda key: str(key).replace("_", " ")}
    return environment


def listed(value: object) -> str:
    """Return a setting as text: lists with commas, whole numbers without a decimal point.

    >>> listed([127.0, 0.5])
    '127, 0.5'
    """
    if isinstance(value, list | tuple):
        return ", ".join(map(listed, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def decibel(value: float | None) -> str:
    """Format an SQNR; "lossless" for infinity, a dash where it was not measured."""
    if value is None or math.isnan(value):
        return "\u2013"
    return "lossless" if value >= 999 else f"{value:.1f} dB"


def percent(value: float | None, digits: int = 0) -> str:
    """Format a share from 0 to 1 in percent."""
    return "\u2013" if value is None else f"{100 * value:.{digits}f} %"


def _hash(text: str) -> str:
    """Return a source expression of a Content-Security-Policy."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
