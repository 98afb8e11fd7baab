"""Rules 25 to 27 and 29: the mapper's configuration, and rule 3 for the inputs that it feeds."""

__all__ = ["GROUP", "check_cfg", "check_inputs", "check_net_type"]

import math
from collections.abc import Iterator

from quant.export.nnie.check.rules import finding
from quant.export.nnie.files.mapper_cfg import CHOICES, MOST_NAME, SMALLEST_SCALE, Cfg, Line
from quant.export.nnie.graph.mapper_net import ROI, Input, Net
from quant.target.finding import Finding

GROUP = ("image_list", "image_type", "norm_type", "mean_file")
"""Keys that come once for each input of the prototxt."""

ONCE = ("prototxt_file", "caffemodel_file", "net_type")
"""Keys without a default, besides the group."""

FREE = (
    *ONCE,
    *GROUP,
    *CHOICES,
    "data_scale",
    "batch_num",
    "sparse_rate",
    "instruction_name",
    "max_roi_frame_cnt",
    "roi_coordinate_file",
    "recurrent_tmax",
    "gfpq_param_file",
)
RANGES = {"batch_num": (0, 256), "max_roi_frame_cnt": (1, 5000), "recurrent_tmax": (1, 1024)}
ROWS = (8, 4096)


def check_cfg(cfg: Cfg, place: str) -> list[Finding]:
    """Return what breaks rules 25 and 27 in the file by itself."""
    return [*_keys(cfg, place), *_values(cfg, place), *_numbers(cfg, place)]


def _keys(cfg: Cfg, place: str) -> Iterator[Finding]:
    for number, text in cfg.strays:
        where = f"{place}:{number}"
        yield finding(25, "warning", where, f"'{text}'", "[key] value", "Remove the line.")
    for key in (*ONCE, *GROUP):
        if not cfg.every(key):
            mend = f"Add [{key}]{' null' if key == 'mean_file' else ''}."
            yield finding(25, "error", place, f"no [{key}]", "the key", mend)
    for line in cfg.lines:
        if line.key not in FREE:
            where, saw = f"{place}:{line.number}", f"the key [{line.key}]"
            mend = "Remove the line, or mend the key."
            if line.key == "instructions_name":  # the guide's table spells it so, no file does
                mend = "Write [instruction_name]."
            yield finding(25, "warning", where, saw, "a key of the mapper's", mend)
        elif not line.value and line.key != "gfpq_param_file":
            where = f"{place}:{line.number}"
            mend = "Write the value behind the key."
            yield finding(25, "error", where, f"nothing behind [{line.key}]", "a value", mend)
    for key in dict.fromkeys(line.key for line in cfg.lines):
        if key in FREE and key not in (*GROUP, "roi_coordinate_file") and len(cfg.every(key)) > 1:
            where = f"{place}:{cfg.every(key)[1].number}"
            yield finding(25, "error", where, f"[{key}] again", "it once", "Remove one.")


def _values(cfg: Cfg, place: str) -> Iterator[Finding]:
    for line in cfg.lines:
        if line.value and line.value not in CHOICES.get(line.key, (line.value,)):
            wanted = f"one of {', '.join(CHOICES[line.key])}"
            yield _wrong(line, place, wanted)
    for line in cfg.every("instruction_name"):
        if len(line.value) > MOST_NAME:
            where, saw = f"{place}:{line.number}", f"an instruction_name of {len(line.value)}"
            wanted, mend = f"{MOST_NAME} characters at most", "Shorten it."
            yield finding(27, "error", where, saw, wanted, mend)


def _wrong(line: Line, place: str, wanted: str) -> Finding:
    where, saw = f"{place}:{line.number}", f"{line.key} '{line.value}'"
    return finding(27, "error", where, saw, wanted, "Mend the value.")


def _numbers(cfg: Cfg, place: str) -> Iterator[Finding]:
    for line in cfg.lines:
        if wanted := _range(line.key, line.value) if line.value else "":
            yield _wrong(line, place, wanted)


def _range(key: str, value: str) -> str:
    """Return what a number ought to be, "" where it is that."""
    if key in RANGES:
        low, high = RANGES[key]
        good = value.isdecimal() and value.isascii() and low <= int(value[:9]) <= high
        return "" if good else f"a whole number of {low} to {high}"
    if key == "sparse_rate":
        return "" if 0 <= _float(value) <= 1 else "a number of 0 to 1"
    if key == "data_scale":
        good = SMALLEST_SCALE < _float(value) < math.inf
        return "" if good else "a finite number above 1/4096 = 0.000244140625"
    return ""


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def check_inputs(cfg: Cfg, place: str, net: Net) -> list[Finding]:
    """Return what breaks rules 25 and 3 between the configuration and the prototxt's inputs."""
    found = []
    for key in GROUP:
        count = len(cfg.every(key))
        if count and count != len(net.inputs):
            saw = f"[{key}] {count} times for {len(net.inputs)} inputs"
            mend = "Write one group of image_list, image_type, norm_type and mean_file an input."
            found.append(finding(25, "error", place, saw, "it once for each input", mend))
    for line, one in zip(cfg.every("image_type"), net.inputs, strict=False):
        found += _picture(line.value, one)
    return found


def _picture(image_type: str, one: Input) -> Iterator[Finding]:
    where = f"input '{one.name}'"
    if image_type not in ("1", "3", "5") or one.shape is None:
        return
    if len(one.shape) != 4:
        saw = f"image_type {image_type} for dims {list(one.shape)}"
        yield finding(3, "error", where, saw, "dims 1, C, H, W", "Set [image_type] 0.")
        return
    channels = (1, 3) if image_type == "1" else (3,)
    if one.shape[1] not in channels:
        saw = f"{one.shape[1]} channels with image_type {image_type}"
        wanted = " or ".join(map(str, channels))
        yield finding(3, "error", where, saw, wanted, "Set [image_type] 0, and give tensors.")
    if not all(ROWS[0] <= size <= ROWS[1] for size in one.shape[2:]):
        saw = f"{one.shape[2]} rows and {one.shape[3]} columns"
        wanted, mend = f"{ROWS[0]} to {ROWS[1]}", "Set [image_type] 0, and give tensors."
        yield finding(3, "error", where, saw, wanted, mend)


def check_net_type(cfg: Cfg, place: str, net: Net) -> list[Finding]:
    """Return what breaks rule 29, and rule 27 for the ROI layers' coordinate files."""
    found = []
    rois = list(net.of(*ROI))
    recurrent = list(net.of("LSTM", "RNN"))
    wanted = "2" if recurrent else "1" if rois else "0"
    told = cfg.get("net_type", wanted)
    if told in ("0", "1", "2") and told != wanted:
        why = {"2": "for LSTM and RNN", "1": "for ROI layers", "0": "for a plain network"}[wanted]
        mend = f"Set [net_type] {wanted}."
        found.append(finding(29, "warning", place, f"net_type {told}", f"{wanted}, {why}", mend))
    files = len(cfg.every("roi_coordinate_file"))
    if files != len(rois):
        saw = f"{files} roi_coordinate_file for {len(rois)} ROI layers"
        mend = "Write one for each, in the order of the prototxt."
        found.append(finding(27, "error", place, saw, "one for each", mend))
    return found
