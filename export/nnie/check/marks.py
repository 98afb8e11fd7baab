"""Rules 19 to 22: the marks _hp, _report and _cpu, and how many segments they make."""

__all__ = ["check_marks", "check_modes"]

from collections import defaultdict
from collections.abc import Iterator

from quant.common.errors import few
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import ACTIVATIONS, CPU, ROI, Input, Net, Site
from quant.target.finding import Finding

SEGMENTS, ENDS, ROIS, SEGMENT_ROIS = 8, 16, 4, 2
"""NNIE segments, inputs or outputs of one, ROI layers in all and in one: HiSVP_API."""


def check_modes(net: Net, compile_mode: str, place: str) -> list[Finding]:
    """Return what breaks rule 19; `place` is the cfg, whose compile_mode is "0", "1" or "2"."""
    high = [site for site in net.sites if site.high]
    found = []
    if high and compile_mode != "2":
        saw = f"compile_mode {compile_mode}, and names that end in '_hp': "
        mend = "Set [compile_mode] 2, or take the suffix off, in the caffemodel as well."
        saw += few(site.name for site in high)
        found.append(finding(19, "error", place, saw, "compile_mode 2", mend))
    if compile_mode == "2" and not high:
        saw, wanted = "compile_mode 2 and no name that ends in '_hp'", "a layer in 16 bit"
        mend = "Set [compile_mode] 0: it computes the same."
        found.append(finding(19, "warning", place, saw, wanted, mend))
    return found


def check_marks(net: Net) -> list[Finding]:
    """Return what breaks rule 19 for activations, and rules 20 to 22."""
    found: list[Finding] = []
    for site in net.sites:
        if site.high and site.inplace and site.type in ACTIVATIONS:
            saw, wanted = "'_hp' on an in-place activation", "it on the layer before"
            mend = "Take the suffix off: an in-place activation has no input of its own."
            found.append(finding(19, "warning", site.place, saw, wanted, mend, site.name))
        found += [*_reports(site), *_hosts(site)]
    for layer in net.proto.layer:
        if layer.type == "Input" and str(layer.name).endswith("_cpu"):
            saw, mend = "'_cpu' on an input", "Take the suffix off."
            place = f"layer '{layer.name}'"
            found.append(finding(21, "error", place, saw, "a plain name", mend, layer.name))
    for one in net.inputs:
        if one.name.endswith("_report"):
            place, saw, mend = f"input '{one.name}'", "'_report' on an input", "Take it off."
            found.append(finding(20, "warning", place, saw, "a plain name: it is ignored", mend))
    return [*found, *_counts(net)]


def _reports(site: Site) -> Iterator[Finding]:
    tops = [str(top) for top in site.layer.top if str(top).endswith("_report")]
    if site.name.endswith("_report") and not tops:
        saw, mend = "'_report' on a layer's name", "Put it on the top, and on its readers' bottoms."
        yield finding(20, "error", site.place, saw, "it on a top", mend, site.name)
    if tops and site.type == "Custom":
        saw, mend = f"the top '{tops[0]}' of a Custom layer", "Take the suffix off."
        yield finding(20, "error", site.place, saw, "no '_report'", mend, site.name)
    elif tops and site.cpu:
        saw, mend = f"the top '{tops[0]}' of a layer on the CPU", "Take the suffix off."
        yield finding(
            20, "warning", site.place, saw, "no '_report': it is ignored", mend, site.name
        )


def _hosts(site: Site) -> Iterator[Finding]:
    if not site.name.endswith("_cpu"):
        return
    if site.inplace and site.type in ACTIVATIONS:
        saw, mend = "'_cpu' on an in-place activation", "Give it a top of its own."
        yield finding(21, "error", site.place, saw, "a layer with a new top", mend, site.name)
    for maker in site.makers:
        if isinstance(maker, Input) or (isinstance(maker, Site) and maker.type in CPU):
            before = f"input '{maker.name}'" if isinstance(maker, Input) else maker.place
            saw = f"{before} before a layer that ends in '_cpu'"
            mend = "Take the suffix off, or do both in one Custom layer."
            yield finding(21, "error", site.place, saw, "a layer of NNIE", mend, site.name)


def _levels(net: Net) -> dict[Site, int]:
    """Return how often the path to each layer changed between NNIE and the host."""
    levels: dict[Site, int] = {}
    for site in net.sites:
        level = 0 if not site.cpu else 1
        for maker in site.makers:
            if isinstance(maker, Site):
                level = max(level, levels[maker] + (maker.cpu != site.cpu))
        levels[site] = level
    return levels


def _counts(net: Net) -> Iterator[Finding]:
    """Rule 22. A segment is what NNIE computes between two stays on the host: inferred."""
    segments: dict[int, list[Site]] = defaultdict(list)
    for site, level in _levels(net).items():
        if not site.cpu:
            segments[level].append(site)
    rois = [site.name for site in net.of(*ROI)]
    mend = "Let the CPU do the rest of the network in one piece at the end."
    if len(segments) > SEGMENTS:
        saw = f"{len(segments)} segments of NNIE"
        yield finding(22, "error", "the network", saw, f"{SEGMENTS} at most", mend)
    if len(rois) > ROIS:
        saw = f"{len(rois)} ROI layers: {few(rois)}"
        yield finding(22, "error", "the network", saw, f"{ROIS} at most", mend)
    for index, level in enumerate(sorted(segments)):
        inside = segments[level]
        names = [
            (len(_sources(inside)), ENDS, "inputs"),
            (len(_ends(inside)), ENDS, "outputs"),
            (sum(site.type in ROI for site in inside), SEGMENT_ROIS, "ROI layers"),
        ]
        for count, most, what in names:
            if count > most:
                place = f"segment {index}, from layer '{inside[0].name}' on"
                said = "Cut or join branches so that fewer blobs cross."
                yield finding(22, "error", place, f"{count} {what}", f"{most} at most", said)


def _sources(inside: list[Site]) -> set[tuple[int, str]]:
    """Return the blobs that a segment reads from outside."""
    return {
        (id(maker), str(bottom))
        for site in inside
        for bottom, maker in zip(site.layer.bottom, site.makers, strict=True)
        if maker is not None and maker not in inside
    }


def _ends(inside: list[Site]) -> list[str]:
    """Return the blobs that a segment gives away or that nobody reads."""
    return [
        str(top)
        for site in inside
        for top, readers in zip(site.layer.top, site.readers, strict=True)
        if not readers
        or any(reader not in inside for reader in readers)
        or str(top).endswith("_report")
    ]
