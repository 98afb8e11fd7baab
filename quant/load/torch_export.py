"""Export a PyTorch module with torch.onnx: with dynamo where it works, and in silence."""

__all__ = ["export"]

import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch

from quant.common.silence import silence

DYNAMO_OPSET, SCRIPT_OPSET = 18, 17
"""The newest opsets that each exporter of torch 2.13 writes without converting."""

Inputs = tuple[torch.Tensor, ...]


def export(module: torch.nn.Module, example: Inputs) -> ir.Model:
    """Return the module as an ONNX model with functions inlined, the batch dynamic if it can be.

    Raises:
        Exception: Whatever TorchScript's exporter raises, when dynamo has failed, too.
    """
    with silence(), torch.no_grad():
        try:
            model = _dynamo(module, example)
        except Exception:  # noqa: BLE001 - dynamo has a hundred ways to fail, and a second exporter
            model = _script(module, example)
        passes.InlinePass()(model)
        return passes.RemoveUnusedFunctionsPass()(model).model  # type: ignore[no-untyped-call]


def _dynamo(module: torch.nn.Module, example: Inputs) -> ir.Model:
    """Export through torch.export, which takes a batch of 1 for a constant: hence the doubling."""
    doubled = tuple(torch.cat([x, x]) if x.dim() and x.shape[0] == 1 else x for x in example)
    auto = torch.export.Dim.AUTO
    program = torch.onnx.export(
        module,
        doubled,
        dynamo=True,
        opset_version=DYNAMO_OPSET,
        dynamic_shapes=tuple({0: auto} if x.dim() else None for x in doubled),
        verbose=False,
    )
    assert program is not None
    return ir.from_proto(program.model_proto)


def _script(module: torch.nn.Module, example: Inputs) -> ir.Model:
    """Export through TorchScript."""
    names = [f"input_{i}" if i else "input" for i in range(len(example))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            module,
            example,
            path,
            dynamo=False,
            opset_version=SCRIPT_OPSET,
            input_names=names,
            dynamic_axes={n: {0: "batch"} for n, x in zip(names, example, strict=True) if x.dim()},
        )
        return ir.from_proto(onnx.load(path))
