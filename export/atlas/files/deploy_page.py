"""DEPLOY.md of an Atlas export: its files, the steps, and what was verified."""

__all__ = [
    "INFERRED",
    "VERIFIED",
    "Page",
    "markdown_text",
    "page_text",
    "preprocessing_section",
    "steps_section",
]

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
- Neither ATC nor a chip ran here: that ATC compiles `deploy_model.onnx` is concluded from documents
  and from an example of AMCT, which is newer than the AMCT of the Ascend310.
- Ascend310 holds the dequantizer's scale in FP16 (a relative error of up to 2^-10) and computes the
  float operators in FP16; `simulated.onnx` holds both in float32.
- That the compiler itself splits a `scale` or `deq_scale` outside FP16's range was read in parts of
  its source, not run. That `keep_dtype.cfg` has an effect with force_fp16 is from examples.
- Opset 11 as the safest one is a guess from the age of the Ascend310's CANN."""


def markdown_text(text: str) -> str:
    """Return a name as one line of Markdown text that no renderer reads as markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in flat if c.isprintable())


def steps_section(soc_version: str, shape: str, *, dynamic: bool, has_aipp: bool) -> str:
    """Return the numbered steps of the page.

    Args:
        soc_version: The chip that ATC compiles for.
        shape: ATC's --input_shape.
        dynamic: The network's batch is dynamic, and 1 in `shape`.
        has_aipp: The script takes the argument "aipp".
    """
    lines = [
        "1. Copy this folder to the machine with CANN and set its environment:",
        "",
        "   ```sh",
        "   . /usr/local/Ascend/ascend-toolkit/set_env.sh",
        "   ```",
        "",
        f"2. Compile for {markdown_text(soc_version)}; `npu-smi info` prints the chip's name, which goes",
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
        "4. Give one sample to the chip and to `simulated.onnx` in ONNX Runtime: the difference comes",
        "   from FP16, and is small beside the network's own INT8 error.",
    ]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return shlex.quote(text).replace("```", "'''")


def preprocessing_section(preprocess: Preprocess | None, aipp: Aipp | str) -> str:
    """Return the numbers of the preprocessing, and the part of it that the chip can do."""
    if preprocess is None:
        return "None: the inputs are no images."
    facts = preprocess.describe()
    if facts["resize"] == "letterbox":
        resize = f"letterbox with bars of {facts['pad']}"
    else:
        resize = f"{facts['resize']} with short side {facts['short_side']}, crop {facts['crop']}"
    host = f"- Host: resize {resize}, {facts['interpolation']}, to {facts['size']} (width, height)."
    tensor = (
        f"- Tensor: {facts['channels']}, {facts['layout']}, mean {facts['mean']}, std {facts['std']} in "
        "0..255 units: (pixel - mean) / std."
    )
    if isinstance(aipp, str):
        return "\n".join([host, tensor, f"- No AIPP: {markdown_text(aipp)}."])
    swap = ", swaps red and blue" if aipp.swaps_red_blue else ""
    pixels = "gray" if aipp.format == "YUV400_U8" else "RGB"
    chip = (
        f"- AIPP (`sh atc.sh aipp`) takes {aipp.format} of {aipp.width}x{aipp.height}{swap} and "
        f"does mean and std. Give it {pixels} pixels, not a normalized tensor."
    )
    error = f"- AIPP's float16 numbers move the tensor by up to {aipp.error:.2g}, in its own units."
    return f"{host}\n{tensor}\n{chip}\n{error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The facts that the page reports.

    Attributes:
        graph: The prepared graph.
        plan: Its plan, without the layers that Atlas refuses.
        deployment: The chip and the preprocessing.
        layers: The INT8 layers.
        refused: Layers that stay float because Atlas has no INT8 form of them.
        aipp: The chip's preprocessing, or the reason why there is none.
        shape: ATC's --input_shape.
        opset: The opset of both models.
        opset_reason: What keeps the opset above 11; "" for opset 11.
        has_keep_dtype: keep_dtype.cfg is written.
    """

    graph: Graph
    plan: Plan
    deployment: Deployment
    layers: tuple[IntegerLayer, ...]
    refused: tuple[str, ...]
    aipp: Aipp | str
    shape: str
    opset: int
    opset_reason: str
    has_keep_dtype: bool


def page_text(page: Page) -> str:
    """Return the page in Markdown."""
    has_aipp = isinstance(page.aipp, Aipp)
    parts = [
        f"# Deploying {markdown_text(page.graph.name)} on Atlas (Ascend)",
        "## Files\n\n" + _files_table(page, has_aipp),
        "## Steps\n\n" + _page_steps(page, has_aipp),
        "## Preprocessing\n\n" + preprocessing_section(page.deployment.preprocess, page.aipp),
        "## Precision\n\n" + _precision_list(page),
        "## Verified\n\n" + VERIFIED,
        "## Inferred\n\n" + INFERRED,
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _page_steps(page: Page, has_aipp: bool) -> str:
    batches = [next(iter(v.shape or ()), None) for v in page.graph.inputs]
    dynamic = not all(isinstance(b, int) for b in batches)
    return steps_section(
        SOC_VERSION.of(page.deployment.versions), page.shape, dynamic=dynamic, has_aipp=has_aipp
    )


def _files_table(page: Page, has_aipp: bool) -> str:
    rows = [
        ("deploy_model.onnx", f"the INT8 graph for ATC, opset {page.opset}; no other runtime"),
        ("float_model.onnx", "the float graph with the same node names, for AMCT"),
        ("record.txt", "scales and offsets of the INT8 layers, AMCT's record file"),
        ("quant.cfg", "the same choice of layers for AMCT's own calibration"),
    ]
    if has_aipp:
        rows.append(("aipp.cfg", "normalization on the chip, from uint8 pixels"))
    if page.has_keep_dtype:
        rows.append(("keep_dtype.cfg", "operators that stay float32"))
    rows += [
        ("atc.sh", f"compiles for {markdown_text(SOC_VERSION.of(page.deployment.versions))}"),
        ("simulated.onnx", "what the INT8 graph computes, for ONNX Runtime"),
    ]
    table = "".join(f"| `{name}` | {description} |\n" for name, description in rows)
    return "| file | what it is |\n|---|---|\n" + table


def _precision_list(page: Page) -> str:
    kinds = Counter(layer.node.op_type for layer in page.layers)
    lines = [
        f"- INT8: {len(page.layers)} layers ("
        + ", ".join(f"{count} {op}" for op, count in sorted(kinds.items()))
        + ")."
    ]
    integer_names = {str(n.name) for layer in page.layers for n in (layer.node, layer.last_node)}
    for precision, name in (("float16", "FP16"), ("float32", "FP32, by keep_dtype.cfg")):
        names = [
            n
            for n, p in page.plan.layers.items()
            if p.precision == precision and n not in integer_names
        ]
        if names:
            lines.append(f"- {name}: {len(names)} layers: {markdown_text(few(names))}.")
    if page.refused:
        lines.append(f"- Float because ATC has no INT8 form: {markdown_text(few(page.refused))}.")
    lines.append("- ATC runs with force_fp16: what is not INT8 computes in FP16.")
    if page.opset_reason:
        lines.append(
            f"- Opset {page.opset}, for {markdown_text(page.opset_reason)} has no form in a lower one: CANN 5 and "
            "6 document opset 11 only, CANN 8 documents 11 to 18."
        )
    return "\n".join(lines)
