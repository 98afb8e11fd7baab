"""What a layer may compute in: int8, 16-bit, emulated 4-bit, float8 or a plain float."""

__all__ = ["Precision"]

from enum import StrEnum


class Precision(StrEnum):
    """What a layer computes in; a member equals its name in plans, recipes and on the command line.

    Which of them a target has, its table says. "w4a8" is int8 arithmetic on weights of 4 bits;
    "w4a4" and "w8a16" are simulated on every target of integers, whether or not its kernels have
    them.

    >>> Precision("w4a8").weight_bits, Precision.W4A8.activation_bits, Precision.FLOAT16.quantized
    (4, 8, False)
    """

    INT8 = "int8"
    INT16 = "int16"
    W4A8 = "w4a8"
    W4A4 = "w4a4"
    W8A16 = "w8a16"
    FP8 = "fp8"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def quantized(self) -> bool:
        """Whether a layer computes on grids that were measured, and not in plain floats."""
        return self not in (Precision.FLOAT16, Precision.FLOAT32)

    @property
    def weight_bits(self) -> int:
        """Bits of one number of a weight."""
        return _BITS[self][0]

    @property
    def activation_bits(self) -> int:
        """Bits of one number of an activation."""
        return _BITS[self][1]


_BITS = {
    Precision.INT8: (8, 8),
    Precision.INT16: (16, 16),
    Precision.W4A8: (4, 8),
    Precision.W4A4: (4, 4),
    Precision.W8A16: (8, 16),
    Precision.FP8: (8, 8),
    Precision.FLOAT16: (16, 16),
    Precision.FLOAT32: (32, 32),
}
