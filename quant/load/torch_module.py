"""Turn a PyTorch module, or `module:factory` of one, into an ONNX model."""

__all__ = ["export", "load_module", "load_torch"]

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch

from quant.common.errors import InputError, UnsupportedError
from quant.common.named_object import named_object
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
    """Export through torch.export; the batch is doubled, for a batch of 1 would become a constant."""
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
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
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


FACTORY_ADVICE = (
    "Return (module, example_inputs) from the factory, or set module.example_inputs, a tensor or "
    "a tuple of tensors."
)


MODULE_ADVICE = (
    "Give example_inputs=, a tensor or a tuple of tensors, or set module.example_inputs."
)


def load_torch(source: str) -> ir.Model:
    """Return the module behind `module:factory`, in eval mode, as an onnx_ir model.

    The working folder is importable. The batch stays dynamic where the module allows it.

    Raises:
        InputError: There is no such module or factory, it raises, what it gives is no `nn.Module`,
            or no example input is known.
        UnsupportedError: torch.onnx exports the module neither with dynamo nor without it.
    """
    module, example = _build(source)
    return _exported(module, example, source)


def load_module(module: torch.nn.Module, example_inputs: Any, place: str) -> ir.Model:
    """Return a module as an onnx_ir model, exported in eval mode; the module is left as it was.

    Args:
        module: The module.
        example_inputs: A tensor or array, or a tuple of them; None for `module.example_inputs`.
        place: What messages call the module.

    Raises:
        InputError: No example input is known.
        UnsupportedError: torch.onnx exports the module neither with dynamo nor without it.
    """
    if example_inputs is None:
        example_inputs = getattr(module, "example_inputs", None)
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    example = tuple(x.to(device) for x in _tensors(example_inputs, place, MODULE_ADVICE))
    modes = {part: part.training for part in module.modules()}
    try:
        return _exported(module, example, place)
    finally:
        for part, training in modes.items():
            part.training = training


def _exported(module: torch.nn.Module, example: Inputs, source: str) -> ir.Model:
    """Return the module in eval mode as an onnx_ir model, or raise UnsupportedError."""
    module.eval()
    try:
        return export(module, example)
    except Exception as error:  # whatever the exporters or the module itself raise
        raise UnsupportedError(
            f"{source}: torch.onnx {torch.__version__} must be able to export the module, and said "
            f"'{_one_line(error)}'. Export it to ONNX yourself and give the file."
        ) from error


def _build(source: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """Return the module and its example inputs."""
    module = factory = named_object(source, source)
    if not isinstance(factory, torch.nn.Module):
        if not callable(factory):
            raise _no_module(source, factory)
        try:
            module = factory()
        except Exception as error:
            raise InputError(
                f"{source}: The factory must run without arguments, and raised "
                f"{type(error).__name__} '{_one_line(error)}'. Mend it, or wrap it in one that runs."
            ) from error
    example = None
    if isinstance(module, tuple) and len(module) == 2:
        module, example = module
    if not isinstance(module, torch.nn.Module):
        raise _no_module(source, module)
    if example is None:
        example = getattr(module, "example_inputs", getattr(factory, "example_inputs", None))
    return module, _tensors(example, source, FACTORY_ADVICE)


def _tensors(example: Any, source: str, advice: str) -> Inputs:
    """Return example inputs as a tuple of tensors; arrays of numpy become tensors."""
    examples = tuple(example) if isinstance(example, tuple | list) else (example,)
    inputs = tuple(torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in examples)
    if not inputs or not all(isinstance(x, torch.Tensor) for x in inputs):
        kind = "none" if example is None else f"a {type(example).__name__}"
        raise InputError(f"{source}: The export needs an example input, saw {kind}. {advice}")
    return inputs


def _no_module(source: str, value: object) -> InputError:
    return InputError(
        f"{source}: The factory must give a torch.nn.Module, saw a {type(value).__name__}. "
        f"{FACTORY_ADVICE}"
    )


def _one_line(error: Exception) -> str:
    """Return the first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).replace("'", '"').rstrip(".")
