"""Check the suffixes _hp, _report and _cpu, and the segments that they make: rules 19 to 22."""

__all__ = ["check_marks", "check_modes"]

from collections import defaultdict
from collections.abc import Iterator

from quant.common.errors import few
from quant.export.nnie.check.rules import finding
from quant.export.nnie.graph.mapper_net import (
    ACTIVATIONS,
    HOST_TYPES,
    ROI_TYPES,
    MapperInput,
    MapperLayer,
    MapperNet,
)
from quant.target.finding import Finding

SEGMENTS, ENDS, ROIS, SEGMENT_ROIS = 8, 16, 4, 2
"""Most segments, inputs or outputs of one, ROI layers in all and in one: HiSVP_API."""


def check_modes(net: MapperNet, compile_mode: str, place: str) -> list[Finding]:
    """Return the findings of rule 19; `place` is the cfg, whose compile_mode is "0", "1" or "2"."""
    high = [layer for layer in net.layers if layer.high]
    findings = []
    if high and compile_mode != "2":
        saw = f"compile_mode {compile_mode}, and names that end in '_hp': "
        mend = "Set [compile_mode] 2, or take the suffix off, in the caffemodel as well."
        saw += few(layer.name for layer in high)
        findings.append(finding(19, "error", place, saw=saw, wanted="compile_mode 2", mend=mend))
    if compile_mode == "2" and not high:
        saw, wanted = "compile_mode 2 and no name that ends in '_hp'", "a layer in 16 bit"
        mend = "Set [compile_mode] 0: it computes the same."
        findings.append(finding(19, "warning", place, saw=saw, wanted=wanted, mend=mend))
    return findings


def check_marks(net: MapperNet) -> list[Finding]:
    """Return the findings of rule 19 on activations, and of rules 20 to 22."""
    findings: list[Finding] = []
    for layer in net.layers:
        if layer.high and layer.inplace and layer.type in ACTIVATIONS:
            saw, wanted = "'_hp' on an in-place activation", "it on the layer before"
            mend = "Take the suffix off: an in-place activation has no input of its own."
            findings.append(
                finding(
                    19, "warning", layer.place, saw=saw, wanted=wanted, mend=mend, layer=layer.name
                )
            )
        findings += [*_reports(layer), *_hosts(layer)]
    for message in net.proto.layer:
        if message.type == "Input" and str(message.name).endswith("_cpu"):
            saw, mend = "'_cpu' on an input", "Take the suffix off."
            place = f"layer '{message.name}'"
            findings.append(
                finding(
                    21,
                    "error",
                    place,
                    saw=saw,
                    wanted="a plain name",
                    mend=mend,
                    layer=message.name,
                )
            )
    for network_input in net.inputs:
        if network_input.name.endswith("_report"):
            place, saw, mend = (
                f"input '{network_input.name}'",
                "'_report' on an input",
                "Take it off.",
            )
            findings.append(
                finding(
                    20, "warning", place, saw=saw, wanted="a plain name: it is ignored", mend=mend
                )
            )
    return [*findings, *_counts(net)]


def _reports(layer: MapperLayer) -> Iterator[Finding]:
    tops = [str(top) for top in layer.proto.top if str(top).endswith("_report")]
    if layer.name.endswith("_report") and not tops:
        saw, mend = "'_report' on a layer's name", "Put it on the top, and on its readers' bottoms."
        yield finding(
            20, "error", layer.place, saw=saw, wanted="it on a top", mend=mend, layer=layer.name
        )
    if tops and layer.type == "Custom":
        saw, mend = f"the top '{tops[0]}' of a Custom layer", "Take the suffix off."
        yield finding(
            20, "error", layer.place, saw=saw, wanted="no '_report'", mend=mend, layer=layer.name
        )
    elif tops and layer.cpu:
        saw, mend = f"the top '{tops[0]}' of a layer on the CPU", "Take the suffix off."
        yield finding(
            20,
            "warning",
            layer.place,
            saw=saw,
            wanted="no '_report', which is ignored here",
            mend=mend,
            layer=layer.name,
        )


def _hosts(layer: MapperLayer) -> Iterator[Finding]:
    if not layer.name.endswith("_cpu"):
        return
    if layer.inplace and layer.type in ACTIVATIONS:
        saw, mend = "'_cpu' on an in-place activation", "Give it a top of its own."
        yield finding(
            21,
            "error",
            layer.place,
            saw=saw,
            wanted="a layer with a new top",
            mend=mend,
            layer=layer.name,
        )
    for producer in layer.producers:
        if isinstance(producer, MapperInput) or (
            isinstance(producer, MapperLayer) and producer.type in HOST_TYPES
        ):
            before = (
                f"input '{producer.name}'" if isinstance(producer, MapperInput) else producer.place
            )
            saw = f"{before} before a layer that ends in '_cpu'"
            mend = "Take the suffix off, or do both in one Custom layer."
            yield finding(
                21,
                "error",
                layer.place,
                saw=saw,
                wanted="a layer of NNIE",
                mend=mend,
                layer=layer.name,
            )


def _levels(net: MapperNet) -> dict[MapperLayer, int]:
    """Return how often the path to each layer changes between NNIE and the host."""
    levels: dict[MapperLayer, int] = {}
    for layer in net.layers:
        level = 0 if not layer.cpu else 1
        for producer in layer.producers:
            if isinstance(producer, MapperLayer):
                level = max(level, levels[producer] + (producer.cpu != layer.cpu))
        levels[layer] = level
    return levels


def _counts(net: MapperNet) -> Iterator[Finding]:
    """Yield the findings of rule 22; a segment is the layers between two host layers (inferred)."""
    segments: dict[int, list[MapperLayer]] = defaultdict(list)
    for layer, level in _levels(net).items():
        if not layer.cpu:
            segments[level].append(layer)
    rois = [layer.name for layer in net.of_type(*ROI_TYPES)]
    mend = "Compute the rest of the network on the CPU, in one piece at the end."
    if len(segments) > SEGMENTS:
        saw = f"{len(segments)} segments of NNIE"
        yield finding(22, "error", "the network", saw=saw, wanted=f"{SEGMENTS} at most", mend=mend)
    if len(rois) > ROIS:
        saw = f"{len(rois)} ROI layers: {few(rois)}"
        yield finding(22, "error", "the network", saw=saw, wanted=f"{ROIS} at most", mend=mend)
    for index, level in enumerate(sorted(segments)):
        layers = segments[level]
        names = [
            (len(_sources(layers)), ENDS, "inputs"),
            (len(_ends(layers)), ENDS, "outputs"),
            (sum(layer.type in ROI_TYPES for layer in layers), SEGMENT_ROIS, "ROI layers"),
        ]
        for count, limit, name in names:
            if count > limit:
                place = f"segment {index}, from layer '{layers[0].name}' on"
                advice = "Cut or join branches so that fewer blobs cross."
                yield finding(
                    22,
                    "error",
                    place,
                    saw=f"{count} {name}",
                    wanted=f"{limit} at most",
                    mend=advice,
                )


def _sources(layers: list[MapperLayer]) -> set[tuple[int, str]]:
    """Return the blobs that a segment reads from outside."""
    return {
        (id(producer), str(bottom))
        for layer in layers
        for bottom, producer in zip(layer.proto.bottom, layer.producers, strict=True)
        if producer is not None and producer not in layers
    }


def _ends(layers: list[MapperLayer]) -> list[str]:
    """Return the blobs of a segment that other layers, or none, read."""
    return [
        str(top)
        for layer in layers
        for top, readers in zip(layer.proto.top, layer.readers, strict=True)
        if not readers
        or any(reader not in layers for reader in readers)
        or str(top).endswith("_report")
    ]
