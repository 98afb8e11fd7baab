"""Dynamic axes by name: some exporters write -1 or nothing where ONNX wants a symbol."""

__all__ = ["name_dims"]

import onnx_ir as ir


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
            known = [
                d if not isinstance(d, int) or d > 0 else ir.SymbolicDim(None) for d in value.shape
            ]
            value.shape = ir.Shape(known)
    return named
