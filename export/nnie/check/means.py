"""Check that mean file, normalization and image type agree: rule 26."""

__all__ = ["check_means"]

import math
from collections.abc import Iterator
from pathlib import Path

from quant.common.errors import InputError, reason_of
from quant.export.caffe.network.files import parse_blob
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.check.rules import finding
from quant.export.nnie.files.mapper_cfg import Cfg, resolved_file
from quant.export.nnie.graph.mapper_net import MapperNet
from quant.target.finding import Finding


def check_means(cfg: Cfg, place: str, folder: Path, net: MapperNet) -> list[Finding]:
    """Return the findings of rule 26; relative names are searched in `folder`, that of the cfg."""
    keys = ("image_type", "norm_type", "mean_file")
    columns = [[line.value for line in cfg.lines_of(key)] for key in keys]
    shapes = [network_input.shape for network_input in net.inputs]
    findings: list[Finding] = []
    for kind, norm, mean, shape in zip(*columns, shapes, strict=False):
        if kind == "0" and norm != "0":
            saw, mend = f"norm_type {norm} with image_type 0", "Set [norm_type] 0."
            findings.append(
                finding(
                    26, "error", place, saw=saw, wanted="0: tensors go in as they are", mend=mend
                )
            )
        findings += _mean(place, folder, norm, mean, shape)
    return findings


def _mean(place: str, folder: Path, norm: str, mean: str, shape: Shape | None) -> Iterator[Finding]:
    path = resolved_file(folder, mean)
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    if norm in ("0", "3"):
        if mean != "null":
            saw = f"mean_file '{mean}' with norm_type {norm}, which reads none"
            # any text is taken
            yield finding(
                26, "warning", place, saw=saw, wanted="null", mend="Write [mean_file] null."
            )
    elif norm in ("1", "4"):
        wanted = "a .binaryproto of the network's C x H x W"
        if not mean.endswith(".binaryproto"):
            saw, mend = f"mean_file '{mean}' with norm_type {norm}", "Give the mean image's file."
            yield finding(26, "error", place, saw=saw, wanted=wanted, mend=mend)
        else:
            yield from _mean_image(path, mean, wanted, shape)
    elif norm in ("2", "5"):
        wanted = f"a text of {channels or 'C'} numbers, one a line"
        saw = _numbers_of(path, channels)
        if saw:
            where = f"mean_file '{mean}'"
            mend = "Write the mean of each channel, in the order that the network sees."
            yield finding(26, "error", where, saw=saw, wanted=wanted, mend=mend)


def _numbers_of(path: Path, channels: int | None) -> str:
    """Return the problem of a text of means, or ""."""
    try:
        rows = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        return f"a file that cannot be read ({reason_of(error)})"
    numbers = [row.strip() for row in rows if row.strip()]
    for row in numbers:
        try:
            good = math.isfinite(float(row))
        except ValueError:
            good = False
        if not good:
            return f"'{row[:40]}'"
    if channels is not None and len(numbers) != channels:
        return f"{len(numbers)} numbers"
    return ""


def _mean_image(path: Path, mean: str, wanted: str, shape: Shape | None) -> Iterator[Finding]:
    where, mend = f"mean_file '{mean}'", "Write the mean image anew."
    try:
        dims = parse_blob(path.read_bytes(), mean).shape
    except (OSError, InputError) as error:
        yield finding(
            26, "error", where, saw=f"no mean image ({reason_of(error)})", wanted=wanted, mend=mend
        )
        return
    bare = dims[-3:]
    if shape is not None and bare != shape[1:]:
        yield finding(26, "error", where, saw=f"a mean of {list(bare)}", wanted=wanted, mend=mend)
