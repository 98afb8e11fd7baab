"""The parts of DEPLOY.md that are read off the preprocessing, the plan and the renaming."""

__all__ = ["plain_text", "precision", "preprocessing"]

from collections import Counter

from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment

MOST = 12
"""Lines of a list that an engineer with a deadline still reads."""


def plain_text(name: str) -> str:
    """Return a name on one line, harmless in Markdown."""
    return name.encode("unicode_escape").decode() if not name.isprintable() else name


def _code(name: str) -> str:
    text = plain_text(name).replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def preprocessing(deployment: Deployment) -> list[str]:
    """Return the section about what is done to an image."""
    if deployment.preprocess is None:
        return ["## Preprocessing", "", "None is recorded: feed what the calibration fed."]
    told = deployment.preprocess.describe()
    size = "x".join(map(str, told["size"])) if isinstance(told["size"], list) else "as it comes"
    layout = "1CHW" if told["layout"] == "NCHW" else "1HWC"
    if told["resize"] == "letterbox":
        how = f"letterbox, bars of {told['pad']}"
    else:
        how = f"{told['resize']}, shorter side {told['short_side']}; crop: {told['crop']}"
    return [
        "## Preprocessing",
        "",
        f"- size (width x height): {size}; resize: {how}; {told['interpolation']}",
        f"- channels: {told['channels']}; layout: {told['layout']} ({layout}, float32)",
        f"- mean (0..255): {told['mean']}; std: {told['std']}",
        "- tensor = (pixel - mean) / std",
    ]


def precision(plan: Plan) -> list[str]:
    """Return the section about what the layers compute in, and why some do not in integers."""
    count = Counter(x.precision for x in plan.layers.values())
    rows = [f"- {name}: {n} layers" for name, n in sorted(count.items())]
    others = [x for x in plan.layers.values() if x.precision.startswith("float")]
    named = [
        f"  - {_code(x.layer)} ({x.op}, {x.precision}): {plain_text(x.because)}" for x in others
    ]
    more = [f"  - and {len(named) - MOST} more, in plan.json"] if len(named) > MOST else []
    why = ["", "Not integer, and why:", "", *named[:MOST], *more] if named else []
    return ["## Precision", "", *rows, *why]
