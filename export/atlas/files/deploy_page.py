"""DEPLOY.md of an Atlas export: what each file is, what to run, and how sure we are."""

__all__ = ["INFERRED", "VERIFIED", "Page", "page_text", "preprocessing", "shown", "steps"]

import shlex
from collections import Counter
from dataclasses import dataclass

from quant.common.errors import few
from quant.export.atlas.files.aipp import Aipp
from quant.export.atlas.graph.integer_layer import IntegerLayer
from quant.export.atlas.version import SOC_VERSION
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment

VERIFIED = """\
- Layout, names, attributes and packed scales equal those of a deploy model that AMCT's open source
  (amct_pytorch) wrote for a network with Conv, depthwise Conv, ConvTranspose, AveragePool and Gemm.
- An exact integer interpreter of such a model equals AMCT's own fake-quantized ONNX in ONNX Runtime
  bit for bit; `simulated.onnx` equals that interpreter bit for bit.
- `float_model.onnx`, in its lower opset, equals the prepared network in ONNX Runtime on a seeded
  sample, within 1e-4 relative.
- `record.txt` parses with AMCT's published schema."""


INFERRED = """\
- No ATC and no chip ran here: that ATC compiles `deploy_model.onnx` is from documents and AMCT's
  example, which is of a newer AMCT than the Ascend310 had.
- Ascend310 holds the dequantizer's scale in FP16 (a relative error of up to 2^-10) and computes the
  float operators in FP16; `simulated.onnx` holds both in float32.
- That `scale` and `deq_scale` outside FP16's range are split by the compiler itself was read in
  parts of its source, not run. That `keep_dtype.cfg` has an effect with force_fp16 is from examples.
- Opset 11 as the safest one is a guess from the age of the Ascend310's CANN."""


def shown(text: str) -> str:
    """Return a name as one line of Markdown text that no renderer reads as markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in flat if c.isprintable())


def steps(soc_version: str, shape: str, *, dynamic: bool, has_aipp: bool) -> str:
    """Return the numbered steps.

    Args:
        soc_version: What ATC compiles for.
        shape: ATC's --input_shape.
        dynamic: The network's batch is open, and 1 in `shape`.
        has_aipp: The script takes the argument "aipp".
    """
    lines = [
        "1. Copy this folder to the machine with CANN and set its environment:",
        "",
        "   ```sh",
        "   . /usr/local/Ascend/ascend-toolkit/set_env.sh",
        "   ```",
        "",
        f"2. Compile for {shown(soc_version)}; `npu-smi info` prints the chip's name, which goes",
        "   behind `Ascend`. ATC is called with",
        "",
        "   ```text",
        f"   --input_shape={_one_line(shape)}",
        "   ```",
        "",
        "   ```sh",
        "   sh atc.sh",
        "   ```",
        "",
        "   makes `out/deploy_model.om`, which takes float32 tensors.",
    ]
    if dynamic:
        lines[-1] += " The batch is 1; edit"
        lines.append("   `--input_shape` in atc.sh for another.")
    if has_aipp:
        lines += [
            "",
            "   ```sh",
            "   sh atc.sh aipp",
            "   ```",
            "",
            "   makes `out/deploy_model_aipp.om`, which takes uint8 pixels in NHWC.",
        ]
    lines += [
        "",
        "3. The success line is `ATC run success, welcome to the next use.` If ATC refuses",
        "   `deploy_model.onnx`, let AMCT build its own from the same numbers and compile that:",
        "",
        "   ```sh",
        "   python3 -c 'import amct_onnx as amct",
        '   amct.convert_model("float_model.onnx", "record.txt", "amct/model")\'',
        "   cp deploy_model.onnx deploy_model.ours.onnx",
        "   cp amct/model_deploy_model.onnx deploy_model.onnx",
        "   sh atc.sh",
        "   ```",
        "",
        "4. Give one sample to the chip and to `simulated.onnx` in ONNX Runtime: what differs comes",
        "   from FP16, and is small beside the network's own INT8 error.",
    ]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return shlex.quote(text).replace("```", "'''")


def preprocessing(preprocess: Preprocess | None, aipp: Aipp | str) -> str:
    """Return the numbers of the preprocessing, and which of it the chip can do."""
    if preprocess is None:
        return "None: the inputs are no images."
    told = preprocess.describe()
    if told["resize"] == "letterbox":
        how = f"letterbox with bars of {told['pad']}"
    else:
        how = f"{told['resize']} with short side {told['short_side']}, crop {told['crop']}"
    host = f"- Host: resize {how}, {told['interpolation']}, to {told['size']} (width, height)."
    tensor = (
        f"- Tensor: {told['channels']}, {told['layout']}, mean {told['mean']}, std {told['std']} in "
        "0..255 units: (pixel - mean) / std."
    )
    if isinstance(aipp, str):
        return "\n".join([host, tensor, f"- No AIPP: {shown(aipp)}."])
    swap = ", swaps red and blue" if aipp.swap else ""
    pixels = "gray" if aipp.format == "YUV400_U8" else "RGB"
    chip = (
        f"- AIPP (`sh atc.sh aipp`) takes {aipp.format} of {aipp.width}x{aipp.height}{swap} and "
        f"does mean and std. Give it {pixels} pixels, not a normalized tensor."
    )
    error = f"- AIPP's float16 numbers move the tensor by up to {aipp.error:.2g}, in its own units."
    return f"{host}\n{tensor}\n{chip}\n{error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the page is about.

    Attributes:
        graph: The prepared graph.
        plan: Its plan, without the layers that Atlas refuses.
        deployment: The chip and the preprocessing.
        layers: The INT8 layers.
        refused: Layers that stay float because Atlas has no INT8 form of them.
        aipp: The chip's preprocessing, or why there is none.
        shape: ATC's --input_shape.
        opset: Of both models.
        above: What keeps the opset above 11, or nothing.
        keeps: keep_dtype.cfg is written.
    """

    graph: Graph
    plan: Plan
    deployment: Deployment
    layers: tuple[IntegerLayer, ...]
    refused: tuple[str, ...]
    aipp: Aipp | str
    shape: str
    opset: int
    above: str
    keeps: bool


def page_text(page: Page) -> str:
    """Return the page in Markdown."""
    has_aipp = isinstance(page.aipp, Aipp)
    parts = [
        f"# Deploying {shown(page.graph.name)} on Atlas (Ascend)",
        "## Files\n\n" + _files(page, has_aipp),
        "## Steps\n\n" + _steps(page, has_aipp),
        "## Preprocessing\n\n" + preprocessing(page.deployment.preprocess, page.aipp),
        "## Precision\n\n" + _precision(page),
        "## Verified\n\n" + VERIFIED,
        "## Inferred\n\n" + INFERRED,
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _steps(page: Page, has_aipp: bool) -> str:
    batches = [next(iter(v.shape or ()), None) for v in page.graph.inputs]
    dynamic = not all(isinstance(b, int) for b in batches)
    return steps(
        SOC_VERSION.of(page.deployment.versions), page.shape, dynamic=dynamic, has_aipp=has_aipp
    )


def _files(page: Page, has_aipp: bool) -> str:
    rows = [
        ("deploy_model.onnx", f"the INT8 graph for ATC, opset {page.opset}; no other runtime"),
        ("float_model.onnx", "the float graph with the same node names, for AMCT"),
        ("record.txt", "scales and offsets of the INT8 layers, AMCT's record file"),
        ("quant.cfg", "the same choice of layers for AMCT's own calibration"),
    ]
    if has_aipp:
        rows.append(("aipp.cfg", "normalization on the chip, from uint8 pixels"))
    if page.keeps:
        rows.append(("keep_dtype.cfg", "operators that stay float32"))
    rows += [
        ("atc.sh", f"compiles for {shown(SOC_VERSION.of(page.deployment.versions))}"),
        ("simulated.onnx", "what the INT8 graph computes, for ONNX Runtime"),
    ]
    table = "".join(f"| `{name}` | {what} |\n" for name, what in rows)
    return "| file | what it is |\n|---|---|\n" + table


def _precision(page: Page) -> str:
    kinds = Counter(layer.node.op_type for layer in page.layers)
    lines = [
        f"- INT8: {len(page.layers)} layers ("
        + ", ".join(f"{count} {op}" for op, count in sorted(kinds.items()))
        + ")."
    ]
    whole = {str(n.name) for layer in page.layers for n in (layer.node, layer.end)}
    for precision, said in (("float16", "FP16"), ("float32", "FP32, by keep_dtype.cfg")):
        names = [
            n for n, p in page.plan.layers.items() if p.precision == precision and n not in whole
        ]
        if names:
            lines.append(f"- {said}: {len(names)} layers: {shown(few(names))}.")
    if page.refused:
        lines.append(f"- Float because ATC has no INT8 form: {shown(few(page.refused))}.")
    lines.append("- ATC runs with force_fp16: what is not INT8 computes in FP16.")
    if page.above:
        lines.append(
            f"- Opset {page.opset}, for {shown(page.above)} has no form in a lower one: CANN 5 and "
            "6 document opset 11 only, CANN 8 documents 11 to 18."
        )
    return "\n".join(lines)
