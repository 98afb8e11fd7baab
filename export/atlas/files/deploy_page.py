"""DEPLOY.md of an Atlas export: what each file is, what to run, and how sure we are."""

__all__ = ["Page", "page_text"]

from collections import Counter
from dataclasses import dataclass

from quant.common.errors import few
from quant.export.atlas.files.aipp import Aipp
from quant.export.atlas.files.atlas_page_text import INFERRED, VERIFIED, preprocessing, shown, steps
from quant.export.atlas.graph.integer_layer import IntegerLayer
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment


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
    return steps(page.deployment.soc_version, page.shape, dynamic=dynamic, has_aipp=has_aipp)


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
        ("atc.sh", f"compiles for {shown(page.deployment.soc_version)}"),
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
