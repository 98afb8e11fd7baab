"""Run the rules of NNIE's mapper on an export of any tool."""

__all__ = ["check_export"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant.common.errors import InputError, reason_of
from quant.export.caffe.network.files import parse_caffemodel
from quant.export.nnie.check.cfg import check_cfg, check_inputs, check_net_type
from quant.export.nnie.check.form import check_form, check_text
from quant.export.nnie.check.layers import check_layers, check_sizes
from quant.export.nnie.check.lists import check_lists
from quant.export.nnie.check.marks import check_marks, check_modes
from quant.export.nnie.check.means import check_means
from quant.export.nnie.check.pools import check_pools
from quant.export.nnie.check.prototxt import read_prototxt
from quant.export.nnie.check.rules import finding
from quant.export.nnie.check.speed import check_speed, convolving_layers
from quant.export.nnie.check.weights import check_weights
from quant.export.nnie.files.mapper_cfg import Cfg, is_file, read_cfg, resolved_file
from quant.export.nnie.files.record import RECORD, LayerRow, read_record
from quant.export.nnie.graph.mapper_net import MapperNet, net_of
from quant.target.deployment import Deployment
from quant.target.finding import Finding


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return the findings of the 30 rules on an export; the mapper itself was never run.

    Args:
        path: A folder with .cfg files, a .cfg, or a lone .prototxt, with its .caffemodel beside it.
        deployment: The chip that the export is for.

    Raises:
        InputError: There is no such file, or the folder has neither a .cfg nor a .prototxt.
    """
    findings: list[Finding] = []
    networks: dict[Path, MapperNet | None] = {}
    for file in _files(path):
        if file.suffix == ".cfg":
            findings += _configuration(file, networks)
        else:
            findings += _network(file, file.with_suffix(".caffemodel"), networks, "")
    return list(dict.fromkeys(findings))  # two configurations share their lists


def _files(path: Path) -> list[Path]:
    """Return the configurations, or the prototxts where there is none."""
    if path.is_file() and path.suffix in (".cfg", ".prototxt"):
        return [path]
    for suffix in (".cfg", ".prototxt") if path.is_dir() else ():
        if files := sorted(p for p in path.iterdir() if p.suffix == suffix and p.is_file()):
            return files
    saw = "a folder without either" if path.is_dir() else "none of these"
    raise InputError(
        f"{path}: NNIE's export is a .cfg or a .prototxt, or a folder with one, saw {saw}. "
        "Give the folder that quant export wrote."
    )


def _configuration(file: Path, networks: dict[Path, MapperNet | None]) -> list[Finding]:
    cfg = read_cfg(_text(file))
    findings = check_cfg(cfg, file.name)
    paths = [
        resolved_file(file.parent, cfg.get(key)) for key in ("prototxt_file", "caffemodel_file")
    ]
    for key, path in zip(("prototxt_file", "caffemodel_file"), paths, strict=True):
        if cfg.get(key) and not is_file(path):
            saw, mend = f"[{key}] '{cfg.get(key)}', which is no file", "Mend the path."
            findings.append(
                finding(25, "error", file.name, saw=saw, wanted="a file that exists", mend=mend)
            )
    if not cfg.get("prototxt_file") or not is_file(paths[0]):
        return findings
    mode = cfg.get("compile_mode", "0")
    findings += _network(paths[0], paths[1] if cfg.get("caffemodel_file") else None, networks, mode)
    net = networks[paths[0]]
    if net is not None:
        findings += _together(cfg, file, net, mode)
    return findings


def _together(cfg: Cfg, file: Path, net: MapperNet, mode: str) -> list[Finding]:
    return [
        *check_inputs(cfg, file.name, net),
        *check_net_type(cfg, file.name, net),
        *check_modes(net, mode, file.name),
        *check_means(cfg, file.name, file.parent, net),
        *check_lists(cfg, file.parent, net),
    ]


def _network(
    file: Path, weights: Path | None, networks: dict[Path, MapperNet | None], mode: str
) -> list[Finding]:
    """Check a prototxt, once, and its caffemodel; the network is stored in `networks`."""
    if file in networks:
        return []
    prototxt = read_prototxt(_text(file))
    findings = check_text(file.name, prototxt)
    networks[file] = None if prototxt.net is None else net_of(prototxt.net)
    net = networks[file]
    if net is None:
        return findings
    record = _record(file.parent / RECORD)
    nodes = {row.layer: row.node for row in record.values() if row.node}
    findings += [
        *check_form(file.name, net),
        *check_pools(net, record),
        *check_sizes(net),
        *check_layers(net),
        *check_marks(net),
        *_weights(net, weights),
        *check_speed(file.name, convolving_layers(net), mode == "1", nodes),
    ]
    return findings


def _record(path: Path) -> Mapping[str, LayerRow]:
    return read_record(_text(path)) if path.is_file() else {}


def _weights(net: MapperNet, path: Path | None) -> list[Finding]:
    if path is None or not is_file(path):
        return []
    try:
        model: Any = parse_caffemodel(path.read_bytes(), path.name)
    except InputError as error:
        saw = str(error).removeprefix(f"{path.name}: ").split(". ")[0]
        mend = "Give the caffemodel that belongs to the prototxt."
        return [
            finding(23, "error", path.name, saw=saw, wanted="a caffemodel of Caffe 1.0", mend=mend)
        ]
    return check_weights(net, model)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        reason = reason_of(error)
        raise InputError(f"{path}: cannot be read: {reason}. Mend its permissions.") from error
