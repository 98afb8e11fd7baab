"""Check the calibration samples that a configuration lists: rule 28."""

__all__ = ["check_lists"]

import math
import warnings
from collections.abc import Iterator
from math import prod
from pathlib import Path

from PIL import Image

from quant.common.errors import few, reason_of
from quant.export.caffe.network.shapes import Shape
from quant.export.nnie.check.rules import finding
from quant.export.nnie.files.feeds import MIN_SAMPLES
from quant.export.nnie.files.mapper_cfg import Cfg, is_file, resolved_file
from quant.export.nnie.graph.mapper_net import MapperNet
from quant.target.finding import Finding, Severity

_SUFFIXES = ".bmp .dib .jpeg .jpg .jpe .jp2 .png .webp .pbm .pgm .ppm .sr .ras .tiff .tif"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Kinds of pictures that the mapper reads: HiSVP development guide, table 3-6."""

MIN_SAMPLES_EVER = 10


def check_lists(cfg: Cfg, folder: Path, net: MapperNet) -> list[Finding]:
    """Return the findings of rule 28; relative names are searched in `folder`, that of the cfg."""
    kinds, lists = ([x.value for x in cfg.lines_of(key)] for key in ("image_type", "image_list"))
    shapes = [network_input.shape for network_input in net.inputs]
    findings: list[Finding] = []
    for kind, listed, shape in zip(kinds, lists, shapes, strict=False):
        findings += _list(folder, kind, listed, shape)
    return findings


def _list(folder: Path, kind: str, listed: str, shape: Shape | None) -> Iterator[Finding]:
    where = f"image_list '{listed}'"
    path = resolved_file(folder, listed)
    try:
        rows = [r for r in path.read_text(encoding="utf-8").splitlines() if r.strip()]
    except (OSError, ValueError) as error:
        saw, mend = f"a file that cannot be read ({reason_of(error)})", "Mend the path or the file."
        yield finding(28, "error", where, saw=saw, wanted="a readable list", mend=mend)
        return
    if kind == "0":
        yield from _tensors(where, rows, shape)
    else:
        yield from _pictures(where, path.parent, folder, rows, shape)
    if len(rows) < MIN_SAMPLES:
        severity: Severity = "warning" if rows else "error"
        short = " at the very least" if len(rows) < MIN_SAMPLES_EVER else ""
        wanted = f"{MIN_SAMPLES_EVER if short else MIN_SAMPLES}{short}, of typical scenes"
        mend = "Calibrate on more samples."
        yield finding(28, severity, where, saw=f"{len(rows)} samples", wanted=wanted, mend=mend)


def _tensors(where: str, rows: list[str], shape: Shape | None) -> Iterator[Finding]:
    if shape is None:
        return
    count, mend = prod(shape[1:]), "Write a whole tensor a line, numbers apart by spaces."
    for number, row in enumerate(rows, 1):
        parts = row.replace(",", " ").split()
        if len(parts) != count:
            saw, wanted = f"{len(parts)} numbers", f"{count}, of dims {list(shape[1:])}"
            yield finding(28, "error", f"{where}:{number}", saw=saw, wanted=wanted, mend=mend)
        elif bad := [x for x in parts if not _finite(x)]:
            saw = f"'{bad[0][:40]}'"
            yield finding(
                28, "error", f"{where}:{number}", saw=saw, wanted="finite numbers", mend=mend
            )


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _pictures(
    where: str, beside: Path, folder: Path, rows: list[str], shape: Shape | None
) -> Iterator[Finding]:
    """Yield the problems of the listed pictures, one finding for each kind of problem."""
    problems: dict[tuple[str, str], list[str]] = {}
    for row in (r.strip() for r in rows):
        path = resolved_file(folder, row)
        path = path if is_file(path) else resolved_file(beside, row)
        for problem in _picture(path, row, shape):
            problems.setdefault(problem, []).append(row)
    for (saw, wanted), names in problems.items():
        summary = f"{len(names)} of {len(rows)} {saw}: {few(names, 3)}"
        mend = "Write the calibration pictures anew, at the network's size."
        yield finding(28, "error", where, saw=summary, wanted=wanted, mend=mend)


def _picture(path: Path, row: str, shape: Shape | None) -> Iterator[tuple[str, str]]:
    if not row.isascii():
        yield "paths with other characters", "ASCII paths"
    if path.suffix.lower() not in SUFFIXES or path.suffix not in (
        path.suffix.lower(),
        path.suffix.upper(),
    ):
        yield "files of another kind", "pictures, such as .png or .jpg"
    if not is_file(path):
        yield "files that do not exist", "files that exist"
        return
    if shape is None or len(shape) != 4:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels: only the size is read
            with Image.open(path) as image:
                size = image.size
    except Exception:  # noqa: BLE001 - Pillow raises every kind for a file that is broken
        yield "files that are no pictures", "pictures that can be read"
        return
    if size != (shape[3], shape[2]):
        yield f"pictures of {size[0]}x{size[1]}", f"the network's {shape[3]}x{shape[2]}"
