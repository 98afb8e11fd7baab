"""DEPLOY.md of an NNIE export: what an engineer types, and what is only inferred."""

__all__ = ["Story", "deploy_text"]

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from quant.deploy import Deployment
from quant.export.nnie_feeds import FEWEST, Feed
from quant.export.nnie_precision import MODES, Precision

CHIPS = {"1.1": "Hi3559AV100", "1.2": "Hi3519AV100, Hi3516CV500 and Hi3516DV300"}
"""Chips of an NNIE version, by public notes."""

MAPPERS = {"1.1": "nnie_mapper_11", "1.2": "nnie_mapper_12"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, for the telling.

    Attributes:
        title: The network's name, as the user gave it.
        name: Stem of the files, ASCII.
        feeds: In the order of the prototxt.
        inputs: Their names and dims in the prototxt.
        outputs: `(tensor of the model, top, dims)` of what NNIE hands out.
        precision: As the mapper is told.
        weighted: How many layers have weights.
        keys: Of the calibration samples; the last is the one to compare.
        tail: Names of the nodes that the CPU computes.
        files: `(name, what it is)`.
    """

    title: str
    name: str
    feeds: Sequence[Feed]
    inputs: Sequence[tuple[str, tuple[int, ...]]]
    outputs: Sequence[tuple[str, str, tuple[int, ...]]]
    precision: Precision
    weighted: int
    keys: Sequence[str]
    tail: Sequence[str]
    files: Sequence[tuple[str, str]]


def deploy_text(story: Story, deployment: Deployment) -> str:
    """Return the text; names of the model stand in code spans, escaped."""
    parts = [
        f"# Deploying {_code(story.title)} on NNIE {deployment.nnie_version}",
        _files(story),
        _steps(story, deployment),
        _preprocessing(story, deployment),
        _precision(story),
        VERIFIED,
        INFERRED,
    ]
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    """Return any text as a code span on one line, whatever it holds."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    ticks = "`" * (1 + max((len(run) for run in _runs(shown)), default=0))
    pad = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def _runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]


def _dims(dims: Sequence[int]) -> str:
    return "x".join(map(str, dims))


def _files(story: Story) -> str:
    rows = [f"| `{name}` | {what} |" for name, what in story.files]
    return "\n".join(["## Files", "", "| file | what it is |", "|---|---|", *rows])


def _steps(story: Story, deployment: Deployment) -> str:
    mapper, name = MAPPERS[deployment.nnie_version], shlex.quote(story.name)
    chips = CHIPS[deployment.nnie_version]
    outputs = "\n".join(
        f"   - {_code(tensor)}: blob `{top}`, {_dims(dims)}" for tensor, top, dims in story.outputs
    )
    steps = f"""## Steps

1. Take the mapper for NNIE {deployment.nnie_version} ({chips}) from the SDK that is on the board: a `.wk`
   of another version does not load. Run it in this folder, for all paths are relative to it.

```sh
{mapper} {name}_sim.cfg   # {story.name}_sim.wk, for the functional simulator on a PC: fast
{mapper} {name}.cfg       # {story.name}.wk, for the chip: may take long
```

2. Feed the board what the mapper was calibrated on:
{_inputs(story)}
3. Read the outputs. They are int32 = value * 4096, and each row begins `u32Stride` bytes behind
   the last:
{outputs}

```python
import numpy as np

def blob_as_float(raw: bytes, shape: tuple[int, int, int], stride: int) -> np.ndarray:
    channels, height, width = shape
    rows = np.frombuffer(raw, np.uint8).reshape(channels * height, stride)[:, : 4 * width]
    return rows.copy().view("<i4").reshape(shape) / 4096
```

4. Compare. The mapper dumps the layers of the last listed sample only, {_code(story.keys[-1])}, into
   `mapper_quant/`: `<layer>_output<id>_C_H_W_quant.linear.hex`, one int32 a line, value * 4096.
   `tensors.csv` says which tensor of `simulated.onnx` each layer is. Cosine to it of 0.99 or more
   is sane; find the first layer below that. Set `[log_level] 3` where dumps are missing."""
    return steps + _tail(story)


def _inputs(story: Story) -> str:
    lines = []
    for feed, (name, dims) in zip(story.feeds, story.inputs, strict=True):
        size = _dims(dims)
        if not feed.picture:
            kind = f"S32 tensor {size}, value * 4096"
        elif dims[1] == 3:
            kind = f"U8 picture {size}, planar, B then G then R"
        else:
            kind = f"U8 picture {size}, gray"
        lines.append(f"   - {_code(feed.input)}, blob `{name}`: {kind}.")
    pictures = any(feed.picture for feed in story.feeds)
    told = "   Resize as below; mean and scale are in the `.wk`." if pictures else ""
    return "\n".join([*lines, told]).rstrip()


def _tail(story: Story) -> str:
    if not story.tail:
        return ""
    names = ", ".join(_code(name) for name in story.tail[:8])
    more = f" and {len(story.tail) - 8} more" if len(story.tail) > 8 else ""
    return f"""
5. Run `tail.onnx` on the CPU, on the floats of step 3. It has what NNIE does not compute: {names}{more}.

```python
import onnxruntime

session = onnxruntime.InferenceSession("tail.onnx")
answers = session.run(None, {{i.name: floats[i.name] for i in session.get_inputs()}})
```"""


def _preprocessing(story: Story, deployment: Deployment) -> str:
    lines = ["## Preprocessing", ""]
    told = deployment.preprocess.describe() if deployment.preprocess is not None else {}
    picture = next((feed for feed in story.feeds if feed.picture), None)
    if picture is None:
        lines.append(
            "None on the chip: the tensors go in as the model takes them (image_type 0), for they "
            "were not made of 8-bit pixels."
        )
        return "\n".join(lines)
    lines += [
        (
            f"- Resize: {told['resize']} to {_dims(picture.shape[:0:-1])} (width x height), crop "
            f"{told['crop']}, {told['interpolation']}."
        ),
        (
            f"- The model was trained on {told['channels']}: (pixel - mean) / std with mean "
            f"{told['mean']} and std {told['std']}."
        ),
        (
            f"- In the `.wk`: norm_type {picture.norm.norm_type}, mean {list(picture.means)} in the "
            f"order the network sees, then data_scale {picture.norm.data_scale!r}."
        ),
    ]
    if picture.swapped:
        lines.append("- The first layer is turned round: the network takes BGR.")
    if picture.norm.factors is not None:
        factors = ", ".join(f"{x:.9g}" for x in picture.norm.factors)
        lines.append(
            f"- The first layer takes in what one data_scale cannot: channels times {factors}, in "
            f"the order {told['channels']}."
        )
    count = len(story.keys)
    few = f", and {FEWEST} to 50 are asked for" if count < FEWEST else ""
    lines.append(f"- The mapper calibrates on {count} samples{few}, at the network's size.")
    return "\n".join(lines)


def _precision(story: Story) -> str:
    chosen = story.precision
    high = {0: 0, 1: story.weighted, 2: len(chosen.high)}[chosen.compile_mode]
    lines = [
        "## Precision",
        "",
        f"- compile_mode {chosen.compile_mode}: {MODES[chosen.compile_mode]}.",
        f"- {high} layers in 16 bit, the others in 8 bit, on NNIE's own logarithmic grid.",
    ]
    if chosen.raised:
        names = ", ".join(_code(name) for name in chosen.raised[:8])
        lines.append(f"- Planned in float, which NNIE lacks, and so in 16 bit: {names}.")
    if story.tail:
        lines.append(f"- {len(story.tail)} nodes in float on the CPU, in `tail.onnx`.")
    return "\n".join(lines)


VERIFIED = """## Verified

- The pictures are pixel for pixel those of the calibration: normalized again they gave its tensors.
- The exporter's own tests run such networks in OpenCV's and MNN's Caffe readers, from the picture
  to the output, against ONNX Runtime. This network was not run there.
- The rules that public sources tell of the mapper: `quant check` lists what it found."""

INFERRED = """## Inferred

- Nothing of this was tried on a mapper or a board.
- Confirmed by public sources: the configuration's keys, the marks `_hp` and `_report`, the scalar
  quantizer, int32 = value * 4096.
- Inferred: where the quantizer is applied in a layer and how sums are rounded, so that
  `simulated.onnx` is exact for each number and a model for each layer; the order of the mean file's
  lines; that tensors go in as value * 4096.
- `RGB_order` is told in two ways for pictures. With BGR both mean the same.
- `gfpq_param_file` is not written: its contents are not public, and so the mapper finds its ranges
  itself, from the listed samples."""
