"""Load a model from a file, a PyTorch factory or memory, or raise with one sentence of reason."""

__all__ = ["load", "open_graph"]

import re
from pathlib import Path

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

from quant.common.errors import QuantError, UnsupportedError
from quant.graph.names import name_nodes
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session, reason
from quant.graph.without_weights import without_weights
from quant.load.given_model import GivenModel
from quant.load.onnx_file import check_proto, read_proto
from quant.load.prepare import prepare
from quant.load.refusals import refuse_layers, refuse_structure

FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""`module:factory`, both dotted names; a drive letter needs a slash behind its colon."""


SMALL = 1024
"""Bytes up to which a weight stays in the graph that is only tried, for shapes are read from it."""


def load(source: str | GivenModel) -> ir.Model:
    """Return the model behind `source` with functions inlined and nodes sorted and named.

    Args:
        source: The path of an ONNX file, `module:factory` for a PyTorch module, or a model that is
            in memory already.

    Nothing is written, and weights in external files stay there until they are read.

    Raises:
        InputError: The file or the factory gives no sound model.
        UnsupportedError: The model is sound, and we or ONNX Runtime cannot serve it.
    """
    place = str(source)
    if isinstance(source, GivenModel):
        model = _load_given(source)
    elif FACTORY.fullmatch(source) and not Path(source).exists():
        from quant.load.torch_module import load_torch

        model = load_torch(source)
    else:
        model = _inlined(read_proto(Path(source)), source)
        ir.external_data.set_base_dir(model.graph, Path(source).resolve().parent)
    refuse_structure(model, place)
    name_nodes(model)  # ONNX Runtime refuses two nodes of one name
    refuse_layers(model, place)
    _refuse_operators(model, place)
    return model


def _load_given(source: GivenModel) -> ir.Model:
    if source.is_torch:
        from quant.load.torch_module import load_module

        return load_module(source.model, source.example_inputs, str(source))
    check_proto(source.model, str(source))
    return _inlined(source.model, str(source))


def _inlined(proto: onnx.ModelProto, source: str) -> ir.Model:
    """Return a proto as an onnx_ir model without functions."""
    try:
        model = ir.from_proto(proto)
        passes.InlinePass()(model)
        passes.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise UnsupportedError(
            f"{source}: The graph must be one that onnx_ir can read, and it said "
            f"'{' '.join(str(error).split())}'. Export the model again."
        ) from error
    return model


def _refuse_operators(model: ir.Model, place: str) -> None:
    """Raise unless ONNX Runtime has a kernel for every node.

    Large weights become inputs for the trial, so it takes as long for 2 GB as for 2 kB.
    """
    trial, _ = without_weights(model, SMALL)
    try:
        open_session(trial, threads=1, optimize=False)
    except QuantError as error:
        raise _refused(model, place, reason(error.__cause__ or error)) from error


def _refused(model: ir.Model, place: str, reason_text: str) -> UnsupportedError:
    """Return the error that names the node which ONNX Runtime's reason is about."""
    for node in model.graph.all_nodes():
        if re.search(rf"(?<!\w){re.escape(node.op_type)}(?!\w)", reason_text):
            domain = node.domain or "ai.onnx"
            return UnsupportedError(
                f"{place}, node '{node.name}': ONNX Runtime must be able to run "
                f"{node.op_type} of domain '{domain}', and said '{reason_text}'. "
                "Export the model with standard operators."
            )
    return UnsupportedError(
        f"{place}: ONNX Runtime must be able to load the model, and said '{reason_text}'. Export it again."
    )


def open_graph(source: str | GivenModel) -> tuple[ir.Model, Graph]:
    """Return a model as loaded and as prepared."""
    raw = load(source)
    if isinstance(source, GivenModel):
        return raw, prepare(raw, source.name, str(source))
    name = source.rsplit(":", 1)[-1] if ":" in source and not Path(source).exists() else source
    return raw, prepare(raw, Path(name).stem or "model", source)
