"""Check the mapper's configuration: rules 25, 27 and 29, and rule 3 for its inputs."""

__all__ = ["GROUP", "check_cfg", "check_inputs", "check_net_type"]

import math
from collections.abc import Iterator

from quant.export.nnie.check.rules import finding
from quant.export.nnie.files.mapper_cfg import CHOICES, MAX_NAME, SCALE_ABOVE, Cfg, Line
from quant.export.nnie.graph.mapper_net import ROI_TYPES, MapperInput, MapperNet
from quant.target.finding import Finding

GROUP = ("image_list", "image_type", "norm_type", "mean_file")
"""Keys that appear once for each input of the prototxt."""

REQUIRED = ("prototxt_file", "caffemodel_file", "net_type")
"""Keys without a default, besides GROUP."""

KEYS = (
    *REQUIRED,
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
SIDES = (8, 4096)


def check_cfg(cfg: Cfg, place: str) -> list[Finding]:
    """Return the findings of rules 25 and 27 on the file alone."""
    return [*_keys(cfg, place), *_values(cfg, place), *_numbers(cfg, place)]


def _keys(cfg: Cfg, place: str) -> Iterator[Finding]:
    for number, text in cfg.unparsed:
        where = f"{place}:{number}"
        yield finding(
            25, "warning", where, saw=f"'{text}'", wanted="[key] value", mend="Remove the line."
        )
    for key in (*REQUIRED, *GROUP):
        if not cfg.lines_of(key):
            mend = f"Add [{key}]{' null' if key == 'mean_file' else ''}."
            yield finding(25, "error", place, saw=f"no [{key}]", wanted="the key", mend=mend)
    for line in cfg.lines:
        if line.key not in KEYS:
            where, saw = f"{place}:{line.number}", f"the key [{line.key}]"
            mend = "Remove the line, or mend the key."
            if line.key == "instructions_name":  # the guide's table spells it so, no file does
                mend = "Write [instruction_name]."
            yield finding(25, "warning", where, saw=saw, wanted="a key of the mapper's", mend=mend)
        elif not line.value and line.key != "gfpq_param_file":
            where = f"{place}:{line.number}"
            mend = "Write the value behind the key."
            yield finding(
                25, "error", where, saw=f"nothing behind [{line.key}]", wanted="a value", mend=mend
            )
    for key in dict.fromkeys(line.key for line in cfg.lines):
        if (
            key in KEYS
            and key not in (*GROUP, "roi_coordinate_file")
            and len(cfg.lines_of(key)) > 1
        ):
            where = f"{place}:{cfg.lines_of(key)[1].number}"
            yield finding(
                25, "error", where, saw=f"[{key}] again", wanted="it once", mend="Remove one."
            )


def _values(cfg: Cfg, place: str) -> Iterator[Finding]:
    for line in cfg.lines:
        if line.value and line.value not in CHOICES.get(line.key, (line.value,)):
            wanted = f"one of {', '.join(CHOICES[line.key])}"
            yield _bad_value(line, place, wanted)
    for line in cfg.lines_of("instruction_name"):
        if len(line.value) > MAX_NAME:
            where, saw = f"{place}:{line.number}", f"an instruction_name of {len(line.value)}"
            wanted, mend = f"{MAX_NAME} characters at most", "Shorten it."
            yield finding(27, "error", where, saw=saw, wanted=wanted, mend=mend)


def _bad_value(line: Line, place: str, wanted: str) -> Finding:
    where, saw = f"{place}:{line.number}", f"{line.key} '{line.value}'"
    return finding(27, "error", where, saw=saw, wanted=wanted, mend="Mend the value.")


def _numbers(cfg: Cfg, place: str) -> Iterator[Finding]:
    for line in cfg.lines:
        if wanted := _range(line.key, line.value) if line.value else "":
            yield _bad_value(line, place, wanted)


def _range(key: str, value: str) -> str:
    """Return the legal range of a key, or "" where its value is legal."""
    if key in RANGES:
        low, high = RANGES[key]
        good = value.isdecimal() and value.isascii() and low <= int(value[:9]) <= high
        return "" if good else f"a whole number of {low} to {high}"
    if key == "sparse_rate":
        return "" if 0 <= _float(value) <= 1 else "a number of 0 to 1"
    if key == "data_scale":
        good = SCALE_ABOVE < _float(value) < math.inf
        return "" if good else "a finite number above 1/4096 = 0.000244140625"
    return ""


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def check_inputs(cfg: Cfg, place: str, net: MapperNet) -> list[Finding]:
    """Return the findings of rules 25 and 3 on the configuration and the prototxt's inputs."""
    findings = []
    for key in GROUP:
        count = len(cfg.lines_of(key))
        if count and count != len(net.inputs):
            saw = f"[{key}] {count} times for {len(net.inputs)} inputs"
            mend = "Write one group of image_list, image_type, norm_type and mean_file an input."
            findings.append(
                finding(25, "error", place, saw=saw, wanted="it once for each input", mend=mend)
            )
    for line, network_input in zip(cfg.lines_of("image_type"), net.inputs, strict=False):
        findings += _picture(line.value, network_input)
    return findings


def _picture(image_type: str, network_input: MapperInput) -> Iterator[Finding]:
    where = f"input '{network_input.name}'"
    if image_type not in ("1", "3", "5") or network_input.shape is None:
        return
    if len(network_input.shape) != 4:
        saw = f"image_type {image_type} for dims {list(network_input.shape)}"
        yield finding(
            3, "error", where, saw=saw, wanted="dims 1, C, H, W", mend="Set [image_type] 0."
        )
        return
    channels = (1, 3) if image_type == "1" else (3,)
    if network_input.shape[1] not in channels:
        saw = f"{network_input.shape[1]} channels with image_type {image_type}"
        wanted = " or ".join(map(str, channels))
        yield finding(
            3, "error", where, saw=saw, wanted=wanted, mend="Set [image_type] 0, and give tensors."
        )
    if not all(SIDES[0] <= size <= SIDES[1] for size in network_input.shape[2:]):
        saw = f"{network_input.shape[2]} rows and {network_input.shape[3]} columns"
        wanted, mend = f"{SIDES[0]} to {SIDES[1]}", "Set [image_type] 0, and give tensors."
        yield finding(3, "error", where, saw=saw, wanted=wanted, mend=mend)


def check_net_type(cfg: Cfg, place: str, net: MapperNet) -> list[Finding]:
    """Return the findings of rule 29, and of rule 27 on the ROI layers' coordinate files."""
    findings = []
    rois = list(net.of_type(*ROI_TYPES))
    recurrent = list(net.of_type("LSTM", "RNN"))
    wanted = "2" if recurrent else "1" if rois else "0"
    net_type = cfg.get("net_type", wanted)
    if net_type in ("0", "1", "2") and net_type != wanted:
        reason = {"2": "for LSTM and RNN", "1": "for ROI layers", "0": "for a plain network"}[
            wanted
        ]
        mend = f"Set [net_type] {wanted}."
        findings.append(
            finding(
                29,
                "warning",
                place,
                saw=f"net_type {net_type}",
                wanted=f"{wanted}, {reason}",
                mend=mend,
            )
        )
    files = len(cfg.lines_of("roi_coordinate_file"))
    if files != len(rois):
        saw = f"{files} roi_coordinate_file for {len(rois)} ROI layers"
        mend = "Write one for each, in the order of the prototxt."
        findings.append(finding(27, "error", place, saw=saw, wanted="one for each", mend=mend))
    return findings
