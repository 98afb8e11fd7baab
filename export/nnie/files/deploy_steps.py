"""The steps of DEPLOY.md, from the folder to a network that runs on the board."""

__all__ = ["steps_text"]

import shlex

from quant.export.caffe.network.shapes import shape_text
from quant.export.nnie.files.deploy_facts import DeployFacts, code, listed
from quant.export.nnie.version import CHIPS, MAPPERS, NNIE_VERSION
from quant.target.deployment import Deployment

READER = '''```python
import numpy as np

def blob_as_float(raw: bytes, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """int32 rows, each `stride` bytes behind the last, as float64 of the blob's shape."""
    rows = np.frombuffer(raw, np.uint8).reshape(-1, stride)[:, : 4 * shape[-1]]
    return rows.copy().view("<i4").reshape(shape) / 4096
```'''


def steps_text(facts: DeployFacts, deployment: Deployment) -> str:
    """Return the section of steps; every command runs in the folder of the export."""
    steps = [
        _mapper_step(facts, deployment),
        _input_step(facts),
        _output_step(facts),
        *([_custom_step(facts)] if facts.custom else []),
        *([_tail_step(facts)] if facts.tail else []),
        _compare_step(facts),
    ]
    return "\n\n".join(["## Steps", *(f"{i}. {text}" for i, text in enumerate(steps, 1))])


def _mapper_step(facts: DeployFacts, deployment: Deployment) -> str:
    version, name = NNIE_VERSION.of(deployment.versions), shlex.quote(facts.name)
    mapper = MAPPERS[version]
    return f"""Take the mapper for NNIE {version} ({CHIPS[version]}) from the same SDK version as
on the board: a `.wk` of another version does not load. Run it in this folder, because all paths are
relative to it.

```sh
{mapper} {name}_sim.cfg  # makes {name}_sim.wk, for the functional simulator on a PC
{mapper} {name}.cfg  # makes {name}.wk, for the chip; this may take long
```"""


def _input_step(facts: DeployFacts) -> str:
    lines = ["Feed the board in the form of the calibration samples."]
    for feed, (name, shape) in zip(facts.feeds, facts.inputs, strict=True):
        if not feed.picture:
            kind = "S32, value * 4096"
        else:
            kind = "U8, planar, B then G then R" if shape[1] == 3 else "U8, gray"
        lines.append(f"- {code(feed.input)}: blob `{name}`, {shape_text(shape)}, {kind}.")
    return "\n".join(lines)


def _output_step(facts: DeployFacts) -> str:
    lines = ["Read the outputs: int32 = value * 4096, with a stride (`u32Stride`) between rows."]
    for tensor, blob, shape, own in facts.outputs:
        as_tensor = f", the tensor's {shape_text(own)} in the same order" if own != shape else ""
        lines.append(f"- {code(tensor)}: blob `{blob}`, {shape_text(shape)}{as_tensor}.")
    if facts.unread:
        lines.append(
            f"- Ignore {listed(facts.unread)}: the board returns them, and the model has no such output."
        )
    return "\n".join([*lines, "", READER])


def _custom_step(facts: DeployFacts) -> str:
    return f"""NNIE stops before each Custom layer and returns the tensors that it reads. Compute the
node of that name on the CPU (it is in the run's `prepared.onnx`, one folder up, and in the model's own
ONNX file), and give the result to the next segment:
{listed(facts.custom, len(facts.custom))}."""


def _tail_step(facts: DeployFacts) -> str:
    """Return the step that runs the tail, with its inputs by name and in their own shapes."""
    given = {tensor for tensor, _, _, _ in facts.outputs}
    rows = [
        f"    {tensor!a}: ...,  # {shape_text(own)}"
        f"{'' if tensor in given else ', an input of the model, preprocessed'}"
        for tensor, own in facts.tail_inputs
    ]
    listed_rows = "\n".join(rows)
    return f"""Run `tail.onnx` on the CPU for the nodes that NNIE does not compute: {listed(facts.tail)}.
It takes outputs of step 3 by their names, as float32 in these shapes.

```python
import numpy as np
import onnxruntime

tensors = {{
{listed_rows}
}}
session = onnxruntime.InferenceSession("tail.onnx")
answers = session.run(None, {{name: np.float32(x) for name, x in tensors.items()}})
```"""


def _compare_step(facts: DeployFacts) -> str:
    return f"""Compare. The mapper keeps the dumps of the last listed sample only, {code(facts.keys[-1])},
in `mapper_quant/`: `<layer>_output<id>_C_H_W_quant.linear.hex`, one int32 per line, value * 4096.
`tensors.csv` names the tensor of `simulated.onnx` for each layer. Find the first layer whose cosine
similarity to its tensor is below 0.99. Where dumps are missing, set `[log_level] 3`."""
