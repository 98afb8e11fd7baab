"""Check a deploy model as a graph: opset, operators, names, order, outputs."""

__all__ = ["external_files", "graph_findings"]

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

import onnx

from quant.common.errors import few
from quant.export.atlas.check.view import Findings, View, finding
from quant.export.atlas.graph.deploy_model import ASCEND_OPS
from quant.export.atlas.graph.limits import ARITHMETIC, INDEX_OUTPUTS, ONNX_QUANTIZERS
from quant.export.atlas.graph.lower_opset import MAX_OPSET, MIN_OPSET
from quant.export.atlas.version import OLD_CHIP

AGAIN = "Export the model again."


def graph_findings(view: View, soc_version: str) -> Findings:
    """Yield the findings of rules 1, 2, 3, 21, 23, 25 and 29."""
    yield from _opset(view, soc_version)
    for node in view.nodes:
        yield from _operator(view, node)
        yield from _attributes(node)
        yield from _indices(view, node)
    yield from _names(view)
    yield from _order(view)
    yield from _outputs(view)


def _opset(view: View, soc_version: str) -> Findings:
    imports = [(o.domain, o.version) for o in view.model.opset_import]
    versions = [version for domain, version in imports if domain in ("", "ai.onnx")]
    if len(imports) != 1 or len(versions) != 1:
        listed = ", ".join(f"'{domain}' {version}" for domain, version in imports) or "none"
        wanted = "one, of ONNX's own domain"
        yield finding(
            1, "error", view.file, saw=f"opset_import {listed}", wanted=wanted, mend=AGAIN
        )
    elif not MIN_OPSET <= versions[0] <= MAX_OPSET:
        yield finding(
            1,
            "error",
            view.file,
            saw=f"opset {versions[0]}",
            wanted=f"{MIN_OPSET} to {MAX_OPSET}",
            mend=AGAIN,
        )
    elif versions[0] > MIN_OPSET and soc_version == OLD_CHIP:
        mend = "Use CANN 7 or newer, or replace the operators that need the opset."
        yield finding(
            1,
            "info",
            view.file,
            saw=f"opset {versions[0]}",
            wanted="11 for CANN 5 and 6",
            mend=mend,
        )


def _operator(view: View, node: onnx.NodeProto) -> Findings:
    kind = node.op_type
    if kind in ONNX_QUANTIZERS or kind.startswith("QLinear"):
        mend = "Export with the target atlas, whose quantizers are AscendQuant and AscendDequant."
        yield finding(3, "error", node, saw=kind, wanted="no quantizer of ONNX", mend=mend)
    elif node.domain not in ("", "ai.onnx"):
        saw = f"operator '{kind}' of domain '{node.domain}'"
        yield finding(
            2,
            "error",
            node,
            saw=saw,
            wanted="ONNX's own domain",
            mend="Export with standard operators.",
        )
    elif kind not in ASCEND_OPS and not _known(view, kind):
        wanted = f"ONNX or one of {', '.join(ASCEND_OPS)}"
        mend = "Export with standard operators."
        yield finding(2, "error", node, saw=f"operator '{kind}'", wanted=wanted, mend=mend)


def _known(view: View, op: str) -> bool:
    versions = [o.version for o in view.model.opset_import if o.domain in ("", "ai.onnx")]
    version = min(max(versions, default=MIN_OPSET), onnx.defs.onnx_opset_version())
    try:
        return not onnx.defs.get_schema(op, version).deprecated
    except onnx.defs.SchemaError:
        return False


def _attributes(node: onnx.NodeProto) -> Findings:
    if any(a.name == "op_data_type" for a in node.attribute):
        yield finding(
            23,
            "error",
            node,
            saw="attribute op_data_type",
            wanted="none",
            mend="Remove the attribute.",
        )


def _indices(view: View, node: onnx.NodeProto) -> Findings:
    index = INDEX_OUTPUTS.get(node.op_type)
    if index is None or len(node.output) <= index:
        return
    for reader, _ in view.readers.get(node.output[index], []):
        if reader.op_type in ARITHMETIC:
            saw = f"int64 indices of {node.op_type} in arithmetic"
            mend = "Cast the indices to int32 before it."
            yield finding(29, "warning", reader, saw=saw, wanted="int32", mend=mend)


def _names(view: View) -> Findings:
    names = Counter(node.name for node in view.nodes)
    if names[""]:
        yield finding(
            21,
            "error",
            view.file,
            saw=f"{names['']} nodes without a name",
            wanted="names",
            mend=AGAIN,
        )
    twice = sorted(name for name, count in names.items() if name and count > 1)
    if twice:
        saw = f"duplicate node names: {few(twice)}"
        yield finding(21, "error", view.file, saw=saw, wanted="one node a name", mend=AGAIN)
    if view.repeated:
        saw = f"tensors with two producers: {few(view.repeated)}"
        yield finding(21, "error", view.file, saw=saw, wanted="one producer", mend=AGAIN)


def _order(view: View) -> Findings:
    available = {v.name for v in view.model.graph.input} | set(view.constants) | {""}
    for node in view.nodes:
        missing = [name for name in node.input if name not in available]
        if missing:
            saw = f"input {few(missing)} that no earlier node computes"
            yield finding(
                25, "error", node, saw=saw, wanted="nodes in topological order", mend=AGAIN
            )
        available.update(node.output)


def _outputs(view: View) -> Findings:
    for name in sorted(view.outputs):
        producer = view.producers.get(name)
        place = f"tensor '{name}'"
        if producer is None:
            saw = "a graph output that no node computes"
            yield finding(25, "error", place, saw=saw, wanted="a node that computes it", mend=AGAIN)
        elif producer in view.integer or producer.op_type == "AscendQuant":
            saw, wanted = (
                f"a graph output of integers, from '{producer.name}'",
                "an AscendDequant's",
            )
            yield finding(25, "error", place, saw=saw, wanted=wanted, mend=AGAIN)
    for node in view.of_type("AscendQuant"):
        if not any(view.readers.get(name) for name in node.output):
            mend = "Remove the node."
            yield finding(
                25,
                "error",
                node,
                saw="an AscendQuant without a reader",
                wanted="a reader",
                mend=mend,
            )


def external_files(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Yield initializer and file name of external weights; the name is "" outside the folder."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location = {e.key: e.value for e in tensor.external_data}
            path = PurePosixPath(location.get("location", ""))
            yield tensor.name, path.name if len(path.parts) == 1 else ""
