"""Will NNIE's mapper take this? Of an export, whoever made it, and of a model before there is one."""

__all__ = ["RULES", "check_export", "check_model"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.export.caffe.network.files import parse_caffemodel
from quant.export.nnie.check.cfg import check_cfg, check_inputs, check_net_type
from quant.export.nnie.check.form import check_form, check_text
from quant.export.nnie.check.layers import check_layers, check_sizes
from quant.export.nnie.check.lists import check_lists
from quant.export.nnie.check.marks import check_marks, check_modes
from quant.export.nnie.check.means import check_means
from quant.export.nnie.check.model import check_model
from quant.export.nnie.check.pools import check_pools
from quant.export.nnie.check.prototxt import read_prototxt
from quant.export.nnie.check.rules import RULES, finding
from quant.export.nnie.check.speed import check_speed, convolving_layers
from quant.export.nnie.check.weights import check_weights
from quant.export.nnie.files.mapper_cfg import Cfg, is_file, named_file, read_cfg
from quant.export.nnie.files.record import RECORD, Row, read_record
from quant.export.nnie.graph.mapper_net import Net, net_of
from quant.target.deployment import Deployment
from quant.target.finding import Finding


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return what of the 30 rules an export breaks; nothing was tried on the mapper itself.

    Args:
        path: A folder with .cfg files, a .cfg, or a lone .prototxt, with its .caffemodel beside it.
        deployment: Where it will run.

    Raises:
        InputError: There is no such file, or the folder has neither a .cfg nor a .prototxt.
    """
    found: list[Finding] = []
    seen: dict[Path, Net | None] = {}
    for file in _files(path):
        if file.suffix == ".cfg":
            found += _configuration(file, seen)
        else:
            found += _network(file, file.with_suffix(".caffemodel"), seen, "")
    return list(dict.fromkeys(found))  # two configurations share their lists


def _files(path: Path) -> list[Path]:
    """Return the configurations, or for want of any the prototxts."""
    if path.is_file() and path.suffix in (".cfg", ".prototxt"):
        return [path]
    for suffix in (".cfg", ".prototxt") if path.is_dir() else ():
        if found := sorted(p for p in path.iterdir() if p.suffix == suffix and p.is_file()):
            return found
    seen = "a folder without either" if path.is_dir() else "none of these"
    raise InputError(
        f"{path}: NNIE's export is a .cfg or a .prototxt, or a folder with one, saw {seen}. "
        "Give what quant export wrote."
    )


def _configuration(file: Path, seen: dict[Path, Net | None]) -> list[Finding]:
    cfg = read_cfg(_text(file))
    found = check_cfg(cfg, file.name)
    paths = [named_file(file.parent, cfg.get(key)) for key in ("prototxt_file", "caffemodel_file")]
    for key, path in zip(("prototxt_file", "caffemodel_file"), paths, strict=True):
        if cfg.get(key) and not is_file(path):
            saw, mend = f"[{key}] '{cfg.get(key)}', which is no file", "Mend the path."
            found.append(finding(25, "error", file.name, saw, "a file that exists", mend))
    if not cfg.get("prototxt_file") or not is_file(paths[0]):
        return found
    mode = cfg.get("compile_mode", "0")
    found += _network(paths[0], paths[1] if cfg.get("caffemodel_file") else None, seen, mode)
    net = seen[paths[0]]
    if net is not None:
        found += _together(cfg, file, net, mode)
    return found


def _together(cfg: Cfg, file: Path, net: Net, mode: str) -> list[Finding]:
    return [
        *check_inputs(cfg, file.name, net),
        *check_net_type(cfg, file.name, net),
        *check_modes(net, mode, file.name),
        *check_means(cfg, file.name, file.parent, net),
        *check_lists(cfg, file.parent, net),
    ]


def _network(
    file: Path, weights: Path | None, seen: dict[Path, Net | None], mode: str
) -> list[Finding]:
    """Check a prototxt, once, and its caffemodel; the network is left in `seen`."""
    if file in seen:
        return []
    read = read_prototxt(_text(file))
    found = check_text(file.name, read)
    seen[file] = None if read.net is None else net_of(read.net)
    net = seen[file]
    if net is None:
        return found
    record = _record(file.parent / RECORD)
    nodes = {row.layer: row.node for row in record.values() if row.node}
    found += [
        *check_form(file.name, net),
        *check_pools(net, record),
        *check_sizes(net),
        *check_layers(net),
        *check_marks(net),
        *_weights(net, weights),
        *check_speed(file.name, convolving_layers(net), mode == "1", nodes),
    ]
    return found


def _record(path: Path) -> Mapping[str, Row]:
    return read_record(_text(path)) if path.is_file() else {}


def _weights(net: Net, path: Path | None) -> list[Finding]:
    if path is None or not is_file(path):
        return []
    try:
        model: Any = parse_caffemodel(path.read_bytes(), path.name)
    except InputError as error:
        saw = str(error).removeprefix(f"{path.name}: ").split(". ")[0]
        mend = "Give the caffemodel that belongs to the prototxt."
        return [finding(23, "error", path.name, saw, "a caffemodel of Caffe 1.0", mend)]
    return check_weights(net, model)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        said = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read: {said}. Mend its permissions.") from error
