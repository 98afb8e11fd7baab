"""A model that a Python program hands over: an `onnx.ModelProto`, or a PyTorch module."""

__all__ = ["GivenModel"]

from dataclasses import dataclass
from typing import Any

import onnx

from quant.common.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class GivenModel:
    """A model in memory, where a path would stand otherwise.

    Attributes:
        model: `onnx.ModelProto`, or `torch.nn.Module`; it is left as it was.
        example_inputs: A tensor or a tuple of tensors for the export of a module; None for the
            module's own attribute `example_inputs`.

    Raises:
        InputError: The model is of another kind, or example inputs stand beside an ONNX model.
    """

    model: Any
    example_inputs: Any = None

    def __post_init__(self) -> None:
        if not self.is_torch and not isinstance(self.model, onnx.ModelProto):
            raise InputError(
                f"model: a model is a path, an onnx.ModelProto or a torch.nn.Module, saw "
                f"'{type(self.model).__name__}'. Give one of these."
            )
        if not self.is_torch and self.example_inputs is not None:
            raise InputError(
                "example_inputs: they are for the export of a torch.nn.Module, and this model is "
                "ONNX already. Leave them out."
            )

    @property
    def is_torch(self) -> bool:
        """Whether the model is a PyTorch module; torch is not imported to find out."""
        bases = ((base.__module__, base.__name__) for base in type(self.model).__mro__)
        return ("torch.nn.modules.module", "Module") in bases

    @property
    def name(self) -> str:
        """The name of the ONNX graph, or of the module's class."""
        if self.is_torch:
            return type(self.model).__name__
        return str(self.model.graph.name) or "model"

    def __str__(self) -> str:
        """Return what stands for the model in messages and in `run.json`."""
        kind = "torch.nn.Module" if self.is_torch else "onnx.ModelProto"
        return f"{kind} {self.name}"
