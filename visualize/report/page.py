"""Pages: templates of ours with strangers' names in them, in one file that asks nothing of others."""

__all__ = ["decibel", "percent", "render", "template_text"]

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
    """Return a page; whatever a template prints is escaped.

    Should a name slip through, the page's own policy runs no script and no style but these, by
    their hashes, and reaches for nothing.

    Args:
        template: Name of an HTML file in `templates/`.
        script: JavaScript of ours, "" for none.
        values: What the template prints.
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
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"line": escaped, "decibel": decibel, "percent": percent}
    return found


def decibel(value: float | None) -> str:
    """Print an SQNR; "lossless" for infinity, a dash for what was not measured."""
    if value is None or math.isnan(value):
        return "\u2013"
    return "lossless" if value >= 999 else f"{value:.1f} dB"


def percent(value: float | None, digits: int = 0) -> str:
    """Print a share from 0 to 1 in percent."""
    return "\u2013" if value is None else f"{100 * value:.{digits}f} %"


def _hash(text: str) -> str:
    """Return a source expression of a Content-Security-Policy."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
