"""The precisions of 4 and 16 bits, which every target of 8-bit integers can at least simulate."""

__all__ = ["EMULATED", "unexportable"]

from collections.abc import Collection

from quant.formats.precision import Precision

EMULATED = (Precision.W4A8, Precision.W4A4, Precision.W8A16)
"""The precisions that every target of 8-bit integers can simulate, whatever its kernels are."""


def unexportable(
    precisions: Collection[Precision], formats: Collection[Precision]
) -> list[Precision]:
    """Return the precisions of a plan for which a target has no kernels.

    "w4a8" is not among them where there is "int8": 4-bit integers are 8-bit integers.

    Args:
        precisions: Those of the plan's layers.
        formats: Those of the target's table.
    """
    able = {*formats, *((Precision.W4A8,) if Precision.INT8 in formats else ())}
    return sorted({p for p in precisions if p in EMULATED and p not in able})
