"""TensorRT's devices: dense peak rates and bandwidth of the GPU, from NVIDIA's data sheets."""

__all__ = ["DEVICES"]

from quant.formats.precision import Precision
from quant.target.device import Device

T4 = "NVIDIA, T4 Tensor Core GPU, data sheet: 8.1 / 65 / 130 TOPS, 320 GB/s"
L4 = (
    "NVIDIA, L4 Tensor Core GPU, data sheet: 30.3 TFLOPS float32, 300 GB/s; float16, fp8 and int8 "
    "are half of its figures with sparsity, 242 / 485 / 485"
)
ORIN = (
    "NVIDIA, Jetson AGX Orin technical brief: GPU of 5.3 TFLOPS float32 and 170 sparse int8 TOPS, "
    "of which half is dense; float16 is half of int8; 204.8 GB/s"
)
XAVIER = (
    "computed from NVIDIA, Jetson Xavier NX data sheet DA-09366-001: 384 CUDA and 48 Tensor cores "
    "at 1.1 GHz, 64 float16 or 128 int8 multiply-accumulates a clock in each of the latter; "
    "the 21 TOPS on its first page are together with two DLAs"
)
XAVIER_MEMORY = "computed from the same data sheet: LPDDR4x, 128 bits * 2 * 1.6 GHz"

DEVICES = (
    Device(
        name="t4",
        title="NVIDIA T4",
        peak={Precision.INT8: 130e12, Precision.FLOAT16: 65e12, Precision.FLOAT32: 8.1e12},
        bandwidth=320e9,
        sources=dict.fromkeys(("peak.int8", "peak.float16", "peak.float32", "bandwidth"), T4),
    ),
    Device(
        name="l4",
        title="NVIDIA L4",
        peak={
            Precision.INT8: 242.5e12,
            Precision.FP8: 242.5e12,
            Precision.FLOAT16: 121e12,
            Precision.FLOAT32: 30.3e12,
        },
        bandwidth=300e9,
        sources=dict.fromkeys(
            ("peak.int8", "peak.fp8", "peak.float16", "peak.float32", "bandwidth"), L4
        ),
    ),
    Device(
        name="orin-agx-64gb",
        title="NVIDIA Jetson AGX Orin 64GB (GPU)",
        peak={Precision.INT8: 85e12, Precision.FLOAT16: 42.5e12, Precision.FLOAT32: 5.3e12},
        bandwidth=204.8e9,
        sources=dict.fromkeys(("peak.int8", "peak.float16", "peak.float32", "bandwidth"), ORIN),
    ),
    Device(
        name="xavier-nx",
        title="NVIDIA Jetson Xavier NX (GPU)",
        peak={Precision.INT8: 13.5e12, Precision.FLOAT16: 6.76e12, Precision.FLOAT32: 0.845e12},
        bandwidth=51.2e9,
        sources={
            **dict.fromkeys(("peak.int8", "peak.float16", "peak.float32"), XAVIER),
            "bandwidth": XAVIER_MEMORY,
        },
    ),
)
"""The first is the default."""
