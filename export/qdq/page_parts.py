"""The sections of DEPLOY.md that every Q/DQ target writes: preprocessing and precision."""

__all__ = ["MAX_LINES", "code_span", "precision_section", "preprocessing_section", "single_line"]

from collections import Counter

from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment

MAX_LINES = 12
"""Layers named in the section on precision; plan.json has all of them."""


def single_line(name: str) -> str:
    """Return a name on one line, harmless in Markdown."""
    return name.encode("unicode_escape").decode() if not name.isprintable() else name


def code_span(name: str) -> str:
    """Return a name as a Markdown code span on one line, safe inside a table."""
    text = single_line(name).replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def preprocessing_section(deployment: Deployment) -> list[str]:
    """Return the section about how an image becomes the input tensor."""
    if deployment.preprocess is None:
        return ["## Preprocessing", "", "None is recorded: feed what the calibration fed."]
    steps = deployment.preprocess.describe()
    size = "x".join(map(str, steps["size"])) if isinstance(steps["size"], list) else "as it comes"
    layout = "1CHW" if steps["layout"] == "NCHW" else "1HWC"
    if steps["resize"] == "letterbox":
        resize = f"letterbox, bars of {steps['pad']}"
    else:
        resize = f"{steps['resize']}, shorter side {steps['short_side']}; crop: {steps['crop']}"
    return [
        "## Preprocessing",
        "",
        f"- size (width x height): {size}; resize: {resize}; {steps['interpolation']}",
        f"- channels: {steps['channels']}; layout: {steps['layout']} ({layout}, float32)",
        f"- mean (0..255): {steps['mean']}; std: {steps['std']}",
        "- tensor = (pixel - mean) / std",
    ]


def precision_section(plan: Plan) -> list[str]:
    """Return the section about the precisions of the layers, with the reason for each float one."""
    count = Counter(x.precision for x in plan.layers.values())
    rows = [f"- {name}: {n} layer{'' if n == 1 else 's'}" for name, n in sorted(count.items())]
    float_layers = [x for x in plan.layers.values() if not x.precision.quantized]
    lines = [
        f"  - {code_span(x.layer)} ({x.op}, {x.precision}): {single_line(x.because)}"
        for x in float_layers
    ]
    more = (
        [f"  - and {len(lines) - MAX_LINES} more, in plan.json"] if len(lines) > MAX_LINES else []
    )
    reasons = ["", "Not integer, and why:", "", *lines[:MAX_LINES], *more] if lines else []
    return ["## Precision", "", *rows, *reasons]
