"""Atlas's devices: the peak rates of the cube unit, and the memory bandwidth."""

__all__ = ["DEVICES"]

from quant.formats.precision import Precision
from quant.target.device import Device

CUBE = (
    "computed from Ascend310.ini of Huawei's open GE: 2 AI cores, 16*32*16 int8 or 16*16*16 "
    "float16 multiply-accumulates a clock in each, 680 MHz; 22 and 11 in the white paper"
)
DDR = "computed: LPDDR4X, 128 bits at 3200 MT/s, as Huawei's page of the Atlas 500 says"
NOMINAL = "Huawei, developer page of the Atlas 500: up to 16 TOPS int8; float16 is half of it"
P3 = "Ascend310P3.ini: 8 AI cores, 16*32*16 int8 or 16*16*16 float16, 1060 MHz"
P3_DDR = "Huawei, Atlas 300I Pro and Duo: 204 GB/s a chip"
B = "Huawei, Atlas 200I DK A2: 8 TOPS int8, 4 TFLOPS float16"
B_DDR = "computed: LPDDR4X, 64 bits at 3200 MT/s, as Huawei's page of the Atlas 200I DK A2 says"


def _device(
    name: str,
    title: str,
    tops: tuple[float, float],
    gigabytes: float,
    sources: tuple[str, str],
) -> Device:
    """Return a device of two rates, int8 and float16; the cube unit has no float32.

    `tops` are the rates in 10**12 operations per second, `gigabytes` the bandwidth in 10**9 bytes
    per second, and `sources` those of the rates and of the bandwidth.
    """
    return Device(
        name=name,
        title=title,
        peak={Precision.INT8: tops[0] * 1e12, Precision.FLOAT16: tops[1] * 1e12},
        bandwidth=gigabytes * 1e9,
        sources={"peak.int8": sources[0], "peak.float16": sources[0], "bandwidth": sources[1]},
        fits=(name,),
    )


DEVICES = (
    _device("ascend310", "Ascend 310 (Atlas 200, 300, 500)", (22.3, 11.1), 51.2, (CUBE, DDR)),
    _device("atlas500", "Atlas 500, one Ascend 310, nominal", (16, 8), 51.2, (NOMINAL, DDR)),
    _device("ascend310p3", "Ascend 310P3 (Atlas 300I Pro)", (139, 69.5), 204, (P3, P3_DDR)),
    _device("ascend310b", "Ascend 310B (Atlas 200I DK A2)", (8, 4), 25.6, (B, B_DDR)),
)
"""The first is the default of `quant roofline`; in a run `--soc-version` decides."""
