"""The assumptions of a roofline, one sentence each, with the source of each number."""

__all__ = ["assumptions"]

from collections.abc import Callable, Sequence

from quant.formats.precision import Precision
from quant.target.device import Device

MODEL = (
    (
        "A layer takes the longer of its operations / peak and its bytes / bandwidth; a "
        "multiply-accumulate is two operations."
    ),
    (
        "Every layer reads its inputs and weights from memory and writes its outputs once: nothing "
        "stays in a cache, and only a Relu or Clip is fused."
    ),
    "Operators without weights run at the same peak as those with, so that their bytes decide.",
    (
        "The network's inputs and outputs are float32. A conversion between two widths is a pass of its "
        "own over the tensor, though runtimes fuse many into the layer before."
    ),
)


def assumptions(
    device: Device,
    precisions: Sequence[Precision],
    rate: Callable[[Device, Precision], tuple[Precision, float]],
    batch: int = 1,
) -> tuple[str, ...]:
    """Return the assumptions for a device and the precisions of a target.

    Args:
        device: The device.
        precisions: The precisions of the cost table.
        rate: (device, precision) -> the precision whose kernels run it, and operations per second.
        batch: Samples in one inference.
    """
    return (
        *MODEL,
        f"An inference is of {batch} sample{'s' * (batch != 1)}; times are of one sample.",
        *_peaks(device),
        _bandwidth(device),
        _efficiency(device),
        _overhead(device),
        *_others(device, [p for p in precisions if p not in device.peak], rate),
    )


def _peaks(device: Device) -> list[str]:
    """Return one sentence for each source of peak rates."""
    by_source: dict[str, list[str]] = {}
    for name, peak in device.peak.items():
        rate = f"{peak / 1e12:.4g} * 10**12 in {name}"
        by_source.setdefault(_source(device, f"peak.{name}"), []).append(rate)
    return [
        f"{device.title} computes {', '.join(rate)} operations a second ({source})."
        for source, rate in by_source.items()
    ]


def _bandwidth(device: Device) -> str:
    if device.bandwidth is None:
        return (
            f"The bandwidth of {device.title} is not public: bytes and conversions take no time, every "
            "layer is bound by compute, and the times are lower bounds; give --bandwidth or a "
            "--device file."
        )
    source = _source(device, "bandwidth")
    return f"{device.title} moves {device.bandwidth / 1e9:.4g} * 10**9 bytes a second ({source})."


def _efficiency(device: Device) -> str:
    if device.efficiency == 1 and "efficiency" not in device.sources:
        return "Layers attain the whole peak rate, which no real layer does; no share was measured."
    source = _source(device, "efficiency")
    return f"Layers attain {device.efficiency:.4g} of the peak ({source})."


def _overhead(device: Device) -> str:
    if device.overhead == 0 and "overhead" not in device.sources:
        return "Starting a layer takes no time, because no figure for it is public."
    source = _source(device, "overhead")
    return f"Starting a layer or a conversion takes {1e6 * device.overhead:.4g} us ({source})."


def _others(
    device: Device,
    precisions: Sequence[Precision],
    rate: Callable[[Device, Precision], tuple[Precision, float]],
) -> list[str]:
    """Return one sentence for each precision whose kernels run precisions without a rate."""
    by_kernel: dict[Precision, list[Precision]] = {}
    for name in precisions:
        by_kernel.setdefault(rate(device, name)[0], []).append(name)
    sentences = []
    for kernel, names in by_kernel.items():
        bound = (
            " (a lower bound of the time)"
            if kernel.quantized and not all(name.quantized for name in names)
            else ""
        )
        sentences.append(
            f"{device.title} has no peak rate for {', '.join(names)}: the arithmetic is counted as that "
            f"of {kernel}{bound}, the bytes at the width of the precision."
        )
    return sentences


def _source(device: Device, name: str) -> str:
    return device.sources.get(name, "no source given")
