"""Check a deploy model as a graph: opset, operators, names, order, outputs."""

__all__ = ["external_files", "graph_findings"]

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

import onnx

from quant.common.errors import few
from quant.export.atlas.check.view import Findings, View, found
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
        yield found(1, "error", view.file, f"opset_import {listed}", wanted, AGAIN)
    elif not MIN_OPSET <= versions[0] <= MAX_OPSET:
        yield found(
            1, "error", view.file, f"opset {versions[0]}", f"{MIN_OPSET} to {MAX_OPSET}", AGAIN
        )
    elif versions[0] > MIN_OPSET and soc_version == OLD_CHIP:
        mend = "Use CANN 7 or newer, or replace the operators that need the opset."
        yield found(1, "info", view.file, f"opset {versions[0]}", "11 for CANN 5 and 6", mend)


def _operator(view: View, node: onnx.NodeProto) -> Findings:
    kind = node.op_type
    if kind in ONNX_QUANTIZERS or kind.startswith("QLinear"):
        mend = "Export with the target atlas, whose quantizers are AscendQuant and AscendDequant."
        yield found(3, "error", node, kind, "no quantizer of ONNX", mend)
    elif node.domain not in ("", "ai.onnx"):
        saw = f"operator '{kind}' of domain '{node.domain}'"
        yield found(2, "error", node, saw, "ONNX's own domain", "Export with standard operators.")
    elif kind not in ASCEND_OPS and not _known(view, kind):
        wanted = f"ONNX or one of {', '.join(ASCEND_OPS)}"
        mend = "Export with standard operators."
        yield found(2, "error", node, f"operator '{kind}'", wanted, mend)


def _known(view: View, op: str) -> bool:
    versions = [o.version for o in view.model.opset_import if o.domain in ("", "ai.onnx")]
    version = min(max(versions, default=MIN_OPSET), onnx.defs.onnx_opset_version())
    try:
        return not onnx.defs.get_schema(op, version).deprecated
    except onnx.defs.SchemaError:
        return False


def _attributes(node: onnx.NodeProto) -> Findings:
    if any(a.name == "op_data_type" for a in node.attribute):
        yield found(23, "error", node, "attribute op_data_type", "none", "Remove the attribute.")


def _indices(view: View, node: onnx.NodeProto) -> Findings:
    index = INDEX_OUTPUTS.get(node.op_type)
    if index is None or len(node.output) <= index:
        return
    for reader, _ in view.readers.get(node.output[index], []):
        if reader.op_type in ARITHMETIC:
            saw = f"int64 indices of {node.op_type} in arithmetic"
            mend = "Cast the indices to int32 before it."
            yield found(29, "warning", reader, saw, "int32", mend)


def _names(view: View) -> Findings:
    names = Counter(node.name for node in view.nodes)
    if names[""]:
        yield found(21, "error", view.file, f"{names['']} nodes without a name", "names", AGAIN)
    twice = sorted(name for name, count in names.items() if name and count > 1)
    if twice:
        saw = f"node names that stand there twice: {few(twice)}"
        yield found(21, "error", view.file, saw, "one node a name", AGAIN)
    if view.repeated:
        saw = f"tensors that are made twice: {few(view.repeated)}"
        yield found(21, "error", view.file, saw, "one maker", AGAIN)


def _order(view: View) -> Findings:
    available = {v.name for v in view.model.graph.input} | set(view.constants) | {""}
    for node in view.nodes:
        missing = [name for name in node.input if name not in available]
        if missing:
            saw = f"input {few(missing)} before anything makes it"
            yield found(25, "error", node, saw, "nodes in topological order", AGAIN)
        available.update(node.output)


def _outputs(view: View) -> Findings:
    for name in sorted(view.outputs):
        producer = view.producers.get(name)
        place = f"tensor '{name}'"
        if producer is None:
            saw = "a graph output that no node makes"
            yield found(25, "error", place, saw, "a node that makes it", AGAIN)
        elif producer in view.integer or producer.op_type == "AscendQuant":
            saw, wanted = f"a graph output of integers, of '{producer.name}'", "an AscendDequant's"
            yield found(25, "error", place, saw, wanted, AGAIN)
    for node in view.of_type("AscendQuant"):
        if not any(view.readers.get(name) for name in node.output):
            mend = "Remove the node."
            yield found(25, "error", node, "an AscendQuant that nobody reads", "a reader", mend)


def external_files(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Yield initializer and file name of external weights; the name is "" outside the folder."""
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location = {e.key: e.value for e in tensor.external_data}
            path = PurePosixPath(location.get("location", ""))
            yield tensor.name, path.name if len(path.parts) == 1 else ""
