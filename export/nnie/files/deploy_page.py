"""DEPLOY.md of an NNIE export: what an engineer types, and what is only inferred."""

__all__ = ["deploy_text"]

from quant.export.nnie.files.deploy_facts import Story, code, listed
from quant.export.nnie.files.deploy_steps import steps_text
from quant.export.nnie.files.feeds import FEWEST, MOST
from quant.export.nnie.graph.precision import MODES
from quant.target.deployment import Deployment


def deploy_text(story: Story, deployment: Deployment) -> str:
    """Return the page; names of the model stand in code spans, whatever they hold."""
    parts = [
        f"# Deploying {code(story.title)} on NNIE",
        _files(story),
        steps_text(story, deployment),
        _preprocessing(story, deployment),
        _precision(story),
        _verified(story),
        INFERRED,
    ]
    return "\n\n".join(parts) + "\n"


def _files(story: Story) -> str:
    rows = [f"| `{name}` | {what} |" for name, what in story.files]
    if any(feed.picture for feed in story.feeds):
        rows.append("| `images` | the pictures, lossless |")
    return "\n".join(["## Files", "", "| file | what it is |", "|---|---|", *rows])


def _preprocessing(story: Story, deployment: Deployment) -> str:
    lines = ["## Preprocessing", ""]
    picture = next((feed for feed in story.feeds if feed.picture), None)
    if picture is None or deployment.preprocess is None:
        lines.append(
            "None in the `.wk`: the tensors go in as the model takes them (image_type 0), for they "
            "are not made of 8-bit pixels."
        )
        return "\n".join(lines)
    told, norm = deployment.preprocess.describe(), picture.norm
    rows, columns = picture.shape[:2] if told["layout"] == "NHWC" else picture.shape[1:]
    lines += [
        (
            f"- On the host, to {columns}x{rows} (width x height): {_resize(told)}, "
            f"{told['interpolation']}."
        ),
        (
            f"- The model takes {told['channels']}, (pixel - mean) / std, mean {told['mean']}, std "
            f"{told['std']}."
        ),
        (
            f"- In the `.wk`: norm_type {norm.norm_type}, mean {list(picture.means)} in the order of "
            f"the network's channels, then data_scale {norm.data_scale!r}."
        ),
    ]
    if picture.swapped:
        lines.append("- In the first layer's weights: RGB turned to BGR.")
    if norm.factors is not None:
        factors = ", ".join(f"{x:.9g}" for x in norm.factors)
        lines.append(
            f"- In the first layer's weights: channels times {factors} ({told['channels']}), for "
            "the mapper has one data_scale for all."
        )
    return "\n".join([*lines, *_samples(story)])


def _resize(told: dict[str, object]) -> str:
    """Say how a picture gets its size, with the numbers that matter for that rule."""
    if told["resize"] == "letterbox":
        return f"letterbox, bars of {told['pad']}"
    side = f", shorter side {told['short_side']}" if told["short_side"] else ""
    return f"{told['resize']}{side}, crop {told['crop']}"


def _samples(story: Story) -> list[str]:
    count = len(story.keys)
    short = f"; {FEWEST} to {MOST} are asked for" if count < FEWEST else ""
    return [f"- The mapper calibrates on {count} samples of the network's size{short}."]


def _precision(story: Story) -> str:
    chosen = story.precision
    lines = [
        "## Precision",
        "",
        f"- compile_mode {chosen.compile_mode}: {MODES[chosen.compile_mode]}.",
    ]
    if chosen.high:
        lines.append(f"- In 16 bit: {listed(sorted(chosen.high))}.")
    if chosen.raised:
        lines.append(f"- Planned in float, which NNIE lacks, so 16 bit: {listed(chosen.raised)}.")
    away = [*story.custom, *story.tail]
    if away:
        lines.append(f"- In float on the CPU: {listed(away, len(away))}.")
    return "\n".join(lines)


def _verified(story: Story) -> str:
    lines = ["## Verified", ""]
    if any(feed.picture for feed in story.feeds):
        lines.append(
            "- Every picture, normalized again, gave the tensor that the calibration saw, to a "
            "thousandth of a pixel's step."
        )
    lines += [
        (
            "- Test networks of this exporter, run by OpenCV's Caffe reader from the picture on, give "
            "the answers of ONNX Runtime. This network was not run there."
        ),
        "- `quant check` holds the folder against 30 rules that public sources tell of the mapper.",
    ]
    return "\n".join(lines)


INFERRED = """## Inferred

- Nothing of this was tried on a mapper or a board.
- Confirmed by public sources: the keys of the configuration, the marks `_hp` and `_report`, the
  grid of the numbers, outputs of int32 = value * 4096.
- Inferred: where a layer rounds and how it sums, so that `simulated.onnx` is exact for each number
  and a model for each layer; that the lines of `mean.txt` follow the network's channels; that
  tensors go in as value * 4096.
- Sources differ on what `RGB_order` means for pictures; with BGR both readings are the same.
- `gfpq_param_file` is not written, for its contents are not public: the mapper finds its ranges
  itself, from the listed samples."""
