"""Prepare a loaded model: current opset, constants and BatchNorm folded, unique names, shapes."""

__all__ = ["check_parity", "drop_identities", "name_dims", "parity", "prepare"]

from collections import Counter

import onnx_ir as ir
import onnx_ir.passes.common as passes

from quant.graph.names import name_nodes
from quant.graph.opset import raise_opset
from quant.graph.prepared_graph import PROTO_LIMIT, Graph, model_bytes, weight_of
from quant.graph.shapes import infer_shapes
from quant.load.fold_batchnorm import fold_batchnorm
from quant.load.fold_gemm import fold_alpha, join_gemm
from quant.load.parity import check_parity, parity
from quant.load.refusals import refuse_layers
from quant.load.simplify import simplified


def drop_identities(graph: ir.Graph) -> int:
    """Remove Identity and idle Dropout nodes of the main graph, and return their number; output names stay.

    An Identity from an input, initializer or output to another output must stay: one value
    cannot bear two names.
    """
    dropped = 0
    for node in list(graph):
        if not _through(node):
            continue
        source, result = node.inputs[0], node.outputs[0]
        if source is None:
            continue
        name, ends = result.name, result.is_graph_output()
        fixed = source.is_graph_input() or source.is_initializer() or source.is_graph_output()
        if ends and (fixed or source.graph is not graph):
            continue
        ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if ends:
            source.name = name
            source.type, source.shape = result.type, result.shape
        dropped += 1
    return dropped


def _through(node: ir.Node) -> bool:
    """Return whether the node's first output equals its first input and is its only used one."""
    if node.domain != "" or any(v.uses() or v.is_graph_output() for v in node.outputs[1:]):
        return False
    if node.op_type == "Dropout":
        flag = node.inputs[2] if len(node.inputs) > 2 else None
        training = ir.convenience.get_const_tensor(flag) if flag is not None else None
        return flag is None or (training is not None and not training.numpy().any())
    return node.op_type == "Identity"


def name_dims(model: ir.Model) -> int:
    """Give every dynamic axis of the inputs a symbol, and return how many lacked one.

    The first axis becomes `batch` in every input, the others `<input>_axis<n>`, so that shape
    inference can follow them. An output's unknown axes are left to inference.
    """
    named = 0
    for value in model.graph.inputs:
        if value.shape is None or value.is_initializer():
            continue
        sizes = []
        for axis, size in enumerate(value.shape):
            if (isinstance(size, int) and size > 0) or (
                isinstance(size, ir.SymbolicDim) and size.value
            ):
                sizes.append(size)
                continue
            named += 1
            sizes.append(ir.SymbolicDim("batch" if axis == 0 else f"{value.name}_axis{axis}"))
        value.shape = ir.Shape(sizes)
    for value in model.graph.outputs:
        if value.shape is not None:
            axes = [
                d if not isinstance(d, int) or d > 0 else ir.SymbolicDim(None) for d in value.shape
            ]
            value.shape = ir.Shape(axes)
    return named


def prepare(model: ir.Model, name: str, source: str, *, simplify: bool = True) -> Graph:
    """Return the graph that profiles and plans speak about; `model` is left as it was.

    Args:
        model: What `load` returned.
        name: A short name for files and tables.
        source: Where the model came from, as the user wrote it; messages start with it.
        simplify: False leaves onnxslim out: for a model whose parity is broken by it.

    The same model gives the same bytes. Inputs and outputs keep names, order and dynamic dims.
    Weights of up to 1.9 GB in all are in memory afterwards; above that, external ones stay outside.

    Raises:
        UnsupportedError: The opset is under 13 and cannot be raised, or no layer is left.
        InputError: Folding brought out weights that are not finite.
    """
    notes: list[str] = []
    work = model.clone()
    if model_bytes(work) <= PROTO_LIMIT:
        work = ir.external_data.load_to_model(work)
    passes.ClearMetadataAndDocStringPass()(work)
    if listed := sum(v.is_initializer() for v in work.graph.inputs):
        passes.RemoveInitializersFromInputsPass()(work)
        notes.append(f"{listed} initializers removed from the inputs")
    if unnamed := name_dims(work):
        notes.append(f"{unnamed} dynamic axes named")
    work, note = raise_opset(work, source)
    notes.append(note or "")
    notes += _fold(work)
    if simplify:
        work, note = simplified(work)
        notes.append(note)
        notes += _fold(work)
    notes += _tidy(work, name)
    refuse_layers(work, source)
    return Graph(work, name, source, tuple(n for n in notes if n))


def _fold(model: ir.Model) -> list[str]:
    """Fold what needs no shapes, and return notes."""
    constants = Counter(node.op_type for node in model.graph)["Constant"]
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    model.graph.sort()
    renamed = name_nodes(model)
    dropped = drop_identities(model.graph)
    folded = fold_batchnorm(model)
    parts = [
        (constants, "constants lifted to initializers"),
        (renamed, "nodes named"),
        (dropped, "Identity and Dropout nodes removed"),
        (folded, "BatchNormalization nodes folded"),
    ]
    return [f"{count} {words}" for count, words in parts if count]


def _tidy(model: ir.Model, name: str) -> list[str]:
    """Remove what nobody reads, infer shapes and dtypes, and note shared weights."""
    before = len(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    unused = before - len(model.graph)
    passes.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    passes.RemoveUnusedOpsetsPass()(model)
    model.graph.sort()
    model.graph.name = model.graph.name or name
    infer_shapes(model)
    joined, scaled = join_gemm(model), fold_alpha(model)
    if joined or scaled:
        passes.RemoveUnusedNodesPass()(model)
    weights = Counter(w.name for n in model.graph if (w := weight_of(n)) is not None)
    parts = []
    if unused:
        parts.append(f"{unused} unused nodes removed")
    if joined:
        parts.append(f"{joined} MatMul and Add joined to Gemm")
    if scaled:
        parts.append(f"{scaled} alpha or beta of Gemm folded")
    if shared := sum(count > 1 for count in weights.values()):
        parts.append(f"{shared} weights are shared by several layers")
    return parts
