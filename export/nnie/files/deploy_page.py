"""DEPLOY.md of an NNIE export: its files, the steps, and what is only inferred."""

__all__ = ["deploy_text"]

from quant.export.nnie.files.deploy_facts import DeployFacts, code, listed
from quant.export.nnie.files.deploy_steps import steps_text
from quant.export.nnie.files.feeds import MAX_SAMPLES, MIN_SAMPLES
from quant.export.nnie.graph.precision import MODES
from quant.target.deployment import Deployment


def deploy_text(facts: DeployFacts, deployment: Deployment) -> str:
    """Return the page; names of the model are code spans, so that they are no markup."""
    parts = [
        f"# Deploying {code(facts.title)} on NNIE",
        _files(facts),
        steps_text(facts, deployment),
        _preprocessing(facts, deployment),
        _precision(facts),
        _verified(facts),
        INFERRED,
    ]
    return "\n\n".join(parts) + "\n"


def _files(facts: DeployFacts) -> str:
    rows = [f"| `{name}` | {description} |" for name, description in facts.files]
    if any(feed.picture for feed in facts.feeds):
        rows.append("| `images` | the pictures, lossless |")
    return "\n".join(["## Files", "", "| file | what it is |", "|---|---|", *rows])


def _preprocessing(facts: DeployFacts, deployment: Deployment) -> str:
    lines = ["## Preprocessing", ""]
    picture = next((feed for feed in facts.feeds if feed.picture), None)
    if picture is None or deployment.preprocess is None:
        lines.append(
            "None in the `.wk`: the inputs are float tensors (image_type 0), as the model takes them, "
            "because they are not made of 8-bit pixels."
        )
        return "\n".join(lines)
    steps, norm = deployment.preprocess.describe(), picture.norm
    rows, columns = picture.shape[:2] if steps["layout"] == "NHWC" else picture.shape[1:]
    lines += [
        (
            f"- On the host, to {columns}x{rows} (width x height): {_resize(steps)}, "
            f"{steps['interpolation']}."
        ),
        (
            f"- The model takes {steps['channels']}, (pixel - mean) / std, mean {steps['mean']}, std "
            f"{steps['std']}."
        ),
        (
            f"- In the `.wk`: norm_type {norm.norm_type}, mean {list(picture.means)} in the order of "
            f"the network's channels, then data_scale {norm.data_scale!r}."
        ),
    ]
    if picture.swapped:
        lines.append(
            "- In the first layer's weights: the channels in reverse order, because the board feeds BGR."
        )
    if norm.factors is not None:
        factors = ", ".join(f"{x:.9g}" for x in norm.factors)
        lines.append(
            f"- In the first layer's weights: channels times {factors} ({steps['channels']}), "
            "because the mapper has one data_scale for all channels."
        )
    return "\n".join([*lines, *_samples_line(facts)])


def _resize(steps: dict[str, object]) -> str:
    """Return how a picture gets its size, with the numbers of that resize rule."""
    if steps["resize"] == "letterbox":
        return f"letterbox, bars of {steps['pad']}"
    side = f", shorter side {steps['short_side']}" if steps["short_side"] else ""
    return f"{steps['resize']}{side}, crop {steps['crop']}"


def _samples_line(facts: DeployFacts) -> list[str]:
    count = len(facts.keys)
    short = f"; the guide asks for {MIN_SAMPLES} to {MAX_SAMPLES}" if count < MIN_SAMPLES else ""
    return [f"- The mapper calibrates on {count} samples of the network's size{short}."]


def _precision(facts: DeployFacts) -> str:
    precision = facts.precision
    lines = [
        "## Precision",
        "",
        f"- compile_mode {precision.compile_mode}: {MODES[precision.compile_mode]}.",
    ]
    if precision.high:
        lines.append(f"- In 16 bit: {listed(sorted(precision.high))}.")
    if precision.raised:
        lines.append(
            f"- In 16 bit, because they are float in the plan and NNIE has no floats: {listed(precision.raised)}."
        )
    on_host = [*facts.custom, *facts.tail]
    if on_host:
        lines.append(f"- In float on the CPU: {listed(on_host, len(on_host))}.")
    return "\n".join(lines)


def _verified(facts: DeployFacts) -> str:
    lines = ["## Verified", ""]
    if any(feed.picture for feed in facts.feeds):
        lines.append(
            "- Every picture, normalized again, gave the calibration tensor, to a thousandth of a "
            "pixel's step."
        )
    lines += [
        (
            "- OpenCV's Caffe reader, from the picture on, gives the outputs of ONNX Runtime on the "
            "exporter's test networks. It did not run this network."
        ),
        "- `quant check` checks the folder against 30 rules, which come from public sources.",
    ]
    return "\n".join(lines)


INFERRED = """## Inferred

- Neither a mapper nor a board ran this export.
- Confirmed by public sources: the keys of the configuration, the suffixes `_hp` and `_report`, the
  number grid, and that outputs are int32 = value * 4096.
- Inferred: where a layer rounds and how it sums, so that `simulated.onnx` rounds each number exactly
  but only approximates a layer; that the lines of `mean.txt` are in the order of the network's
  channels; that input tensors are value * 4096.
- Sources differ on the meaning of `RGB_order` for pictures; with BGR both readings agree.
- `gfpq_param_file` is not written, because its contents are not public: the mapper finds the ranges
  itself, from the listed samples."""
