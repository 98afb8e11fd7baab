"""Terms: what a roofline takes for granted, one sentence each, with the source of each number."""

__all__ = ["terms"]

from collections.abc import Callable, Sequence

from quant.device import Device

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
    "The network's inputs and outputs are float32.",
)


def terms(
    device: Device,
    precisions: Sequence[str],
    rate: Callable[[Device, str], tuple[str, float]],
    batch: int = 1,
) -> tuple[str, ...]:
    """Return the sentences for a device and the precisions of a target.

    Args:
        device: The device.
        precisions: Those of the table.
        rate: (device, precision) -> the precision whose arithmetic runs it, operations a second.
        batch: Samples in one inference.
    """
    return (
        *MODEL,
        f"An inference is of {batch} sample{'s' * (batch != 1)}; times are of one sample.",
        *(_peak(device, name) for name in device.peak),
        _bandwidth(device),
        _efficiency(device),
        _overhead(device),
        *(
            _other(device, name, *rate(device, name))
            for name in precisions
            if name not in device.peak
        ),
    )


def _peak(device: Device, name: str) -> str:
    return (
        f"{device.title} computes {device.peak[name] / 1e12:.4g} * 10**12 operations a second in "
        f"{name} ({_source(device, f'peak.{name}')})."
    )


def _bandwidth(device: Device) -> str:
    if device.bandwidth is None:
        return (
            f"There is no public figure of {device.title}'s bandwidth: bytes and conversions take "
            "no time, every layer is bound by compute, and the times are lower bounds; give "
            "--bandwidth or a --device file."
        )
    source = _source(device, "bandwidth")
    return f"{device.title} moves {device.bandwidth / 1e9:.4g} * 10**9 bytes a second ({source})."


def _efficiency(device: Device) -> str:
    if device.efficiency == 1 and "efficiency" not in device.sources:
        return "Layers attain the whole peak, which none does: nobody measured the share."
    source = _source(device, "efficiency")
    return f"Layers attain {device.efficiency:.4g} of the peak ({source})."


def _overhead(device: Device) -> str:
    if device.overhead == 0 and "overhead" not in device.sources:
        return "Starting a layer takes no time: there is no public figure."
    source = _source(device, "overhead")
    return f"Starting a layer or a conversion takes {1e6 * device.overhead:.4g} us ({source})."


def _other(device: Device, precision: str, kernel: str, _: float) -> str:
    weights = " on weights of 4 bits in memory" if precision.startswith("w4") else ""
    return (
        f"{device.title} has no rate for {precision}: its arithmetic is counted as that of "
        f"{kernel}{weights}, its bytes at its own width."
    )


def _source(device: Device, name: str) -> str:
    return device.sources.get(name, "no source given")
