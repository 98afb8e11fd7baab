"""The steps of DEPLOY.md: from the folder to a network that answers on the board."""

__all__ = ["steps_text"]

import shlex

from quant.export.nnie.files.deploy_facts import Story, code, dims, listed
from quant.export.nnie.version import CHIPS, MAPPERS, NNIE_VERSION
from quant.target.deployment import Deployment

READER = '''```python
import numpy as np

def blob_as_float(raw: bytes, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """int32 rows, each `stride` bytes behind the last, as float64 of the blob's shape."""
    rows = np.frombuffer(raw, np.uint8).reshape(-1, stride)[:, : 4 * shape[-1]]
    return rows.copy().view("<i4").reshape(shape) / 4096
```'''


def steps_text(story: Story, deployment: Deployment) -> str:
    """Return the section; every command runs in the folder itself."""
    steps = [
        _map(story, deployment),
        _feed(story),
        _read(story),
        *([_between(story)] if story.custom else []),
        *([_behind(story)] if story.tail else []),
        _compare(story),
    ]
    return "\n\n".join(["## Steps", *(f"{i}. {text}" for i, text in enumerate(steps, 1))])


def _map(story: Story, deployment: Deployment) -> str:
    version, name = NNIE_VERSION.of(deployment.versions), shlex.quote(story.name)
    mapper = MAPPERS[version]
    return f"""Take the mapper for NNIE {version} ({CHIPS[version]}) from the SDK that is on the board: a `.wk` of
another version does not load. Run it in this folder, for all paths are relative to it.

```sh
{mapper} {name}_sim.cfg  # makes {name}_sim.wk, for the functional simulator on a PC
{mapper} {name}.cfg  # makes {name}.wk, for the chip; this may take long
```"""


def _feed(story: Story) -> str:
    lines = ["Feed the board what the mapper was calibrated on."]
    for feed, (name, shape) in zip(story.feeds, story.inputs, strict=True):
        if not feed.picture:
            kind = "S32, value * 4096"
        else:
            kind = "U8, planar, B then G then R" if shape[1] == 3 else "U8, gray"
        lines.append(f"- {code(feed.input)}: blob `{name}`, {dims(shape)}, {kind}.")
    return "\n".join(lines)


def _read(story: Story) -> str:
    lines = ["Read the outputs: int32 = value * 4096, and a stride (`u32Stride`) from row to row."]
    for tensor, blob, shape, own in story.outputs:
        as_tensor = f", the tensor's {dims(own)} in the same order" if own != shape else ""
        lines.append(f"- {code(tensor)}: blob `{blob}`, {dims(shape)}{as_tensor}.")
    if story.unread:
        lines.append(f"- Nobody needs {listed(story.unread)}, which the board gives as well.")
    return "\n".join([*lines, "", READER])


def _between(story: Story) -> str:
    return f"""NNIE stops in front of each Custom layer and gives out what it reads. Compute the node of that
name on the CPU (in the run's `prepared.onnx`, one folder up, or the model's own ONNX file), and hand
the result to the next segment:
{listed(story.custom, len(story.custom))}."""


def _behind(story: Story) -> str:
    """Give the tail its tensors, by name and in their own shapes."""
    made = {tensor for tensor, _, _, _ in story.outputs}
    rows = [
        f"    {tensor!a}: ...,  # {dims(own)}"
        f"{'' if tensor in made else ', an input of the model, preprocessed'}"
        for tensor, own in story.tail_inputs
    ]
    told = "\n".join(rows)
    return f"""Run `tail.onnx` on the CPU for what NNIE does not compute: {listed(story.tail)}.
It takes outputs of step 3 by their names, as float32 in these shapes.

```python
import numpy as np
import onnxruntime

tensors = {{
{told}
}}
session = onnxruntime.InferenceSession("tail.onnx")
answers = session.run(None, {{name: np.float32(x) for name, x in tensors.items()}})
```"""


def _compare(story: Story) -> str:
    return f"""Compare. The mapper keeps the dumps of the last listed sample only, {code(story.keys[-1])}, in
`mapper_quant/`: `<layer>_output<id>_C_H_W_quant.linear.hex`, one int32 a line, value * 4096.
`tensors.csv` says which tensor of `simulated.onnx` a layer is. Find the first layer whose cosine
to it is below 0.99. Where dumps are missing, set `[log_level] 3`."""
