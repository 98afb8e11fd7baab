"""NNIE's devices: the published peak rates; no memory bandwidth is published."""

__all__ = ["DEVICES"]

from quant.formats.precision import Precision
from quant.target.device import Device

HALF = (
    "taken as half of int8: a 640x640 RetinaFace takes 17 ms in 8 and 34 ms in 16 bits on a "
    "Hi3516DV300 (nniefacelib, README)"
)
OPEN = "openhisilicon, PRODUCT"
TWO = "two NNIE cores at 840 MHz together: mahxn0/Yolov5-Hisi3559a-Train, README"


def _device(name: str, tops: float, source: str, fits: tuple[str, ...] = ()) -> Device:
    """Return a chip with `tops` * 10**12 8-bit operations per second."""
    return Device(
        name=name.lower(),
        title=name,
        peak={Precision.INT8: tops * 1e12, Precision.INT16: tops * 0.5e12},
        bandwidth=None,
        sources={"peak.int8": source, "peak.int16": HALF},
        fits=fits,
    )


DEVICES = (
    _device("Hi3516DV300", 1.0, f"{OPEN}, hi3516dv300-som-zh.md", ("1.2",)),
    _device("Hi3559V200", 0.4, OPEN),
    _device("Hi3559AV100", 4.0, TWO, ("1.1",)),
    _device("Hi3516CV500", 0.5, "inferred: OpenIPC/camerasrnd, compat.md"),
)
"""The first device is the default. No figure of the Hi3519AV100 is public."""
