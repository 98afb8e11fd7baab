"""The build scripts of a TensorRT export: `build.sh` for trtexec, `build.py` for the Python API.

Source: trtexec 8.6, 10.16 and 11 `sampleOptions.cpp`; TensorRT Python API of the same versions.
"""

__all__ = ["BATCHES", "Build", "build_py", "build_sh", "shape_ranges"]

import pprint
from collections.abc import Mapping
from dataclasses import dataclass, field
from shlex import quote

import onnx_ir as ir

from quant.export.tensorrt.files.build_py_text import BUILD_PY
from quant.export.tensorrt.graph.layer_types import LayerType
from quant.export.tensorrt.version import Version
from quant.graph.prepared_graph import Graph
from quant.target.deployment import Deployment

Shapes = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The facts that the build scripts depend on.

    Attributes:
        version: Version of TensorRT.
        typed: The Q/DQ graph has float16 types, so it is built strongly typed.
        half: float16 may be used where the lists of layers allow it.
        fp8: The graph has FP8 quantizers.
        implicit: The export has a float graph with a calibration cache in `implicit/`.
        shapes: Minimum, optimum and maximum shape of each input with dynamic axes; {} for none.
        explicit_layers: Precisions of the float layers of the Q/DQ graph; () for free choice.
        implicit_layers: Precisions of the layers of the float graph, int8 layers included.
    """

    version: Version
    typed: bool = False
    half: bool = False
    fp8: bool = False
    implicit: bool = False
    shapes: Shapes = field(default_factory=dict)
    explicit_layers: tuple[LayerType, ...] = ()
    implicit_layers: tuple[LayerType, ...] = ()

    @property
    def explicit_flags(self) -> list[str]:
        """Options of trtexec about the types of the Q/DQ graph."""
        if self.version.major >= 11:
            return []
        if self.typed or self.fp8:  # INT8 and FP8 together are refused without strong typing
            return ["--stronglyTyped"]
        flags = ["--int8", *(["--fp16"] if self.half else [])]
        return [*flags, *(["--precisionConstraints=prefer"] if self.explicit_layers else [])]


def build_sh(build: Build) -> str:
    """Return `build.sh`: `sh build.sh [explicit|implicit] [options of trtexec]`."""
    major = build.version.major
    lines = [
        "#!/bin/sh",
        f"# Builds engine.plan with trtexec of TensorRT {major}. Options behind the mode go to trtexec.",
        "set -eu",
        'cd -- "$(dirname -- "$0")"',
        "mode=explicit",
        'case "${1-}" in explicit|implicit) mode=$1; shift ;; esac',
        "command -v trtexec >/dev/null 2>&1 || {",
        f'  echo "error: trtexec is not on PATH: install TensorRT {major}, or add its bin folder." >&2',
        "  exit 2",
        "}",
    ]
    if build.shapes:
        lines += _shape_lines(build.shapes)
    lines += ['if [ "$mode" = explicit ]; then', *_explicit_lines(build), "fi"]
    lines += _implicit_lines(build)
    return "\n".join(lines) + "\n"


def _shape_lines(shapes: Shapes) -> list[str]:
    """Return the lines that put the three shapes before the user's options."""
    lines = []
    for word, index in (("min", 0), ("opt", 1), ("max", 2)):
        text = ",".join(
            f"{_quoted_input(n)}:{'x'.join(map(str, s[index]))}" for n, s in shapes.items()
        )
        lines.append(f'set -- {quote(f"--{word}Shapes={text}")} "$@"')
    return lines


def _quoted_input(name: str) -> str:
    """Return an input's name for trtexec's shapes: a name with a colon is put in single quotes."""
    return f"'{name}'" if ":" in name else name


def _list_lines(types: tuple[LayerType, ...], file: str) -> list[str]:
    """Return the lines that read the lists of layers from a file, which the shell leaves as they are."""
    if not types:
        return []
    return [
        "  while IFS= read -r line; do",
        '    set -- "$line" "$@"',
        f"  done < {quote(file)}",
    ]


def _explicit_lines(build: Build) -> list[str]:
    flags = " ".join(["--onnx=model.onnx", "--saveEngine=engine.plan", *build.explicit_flags])
    return [
        *_list_lines(build.explicit_layers, "layer_precisions.txt"),
        f'  exec trtexec {flags} "$@"',
    ]


def _implicit_lines(build: Build) -> list[str]:
    if not build.implicit:
        return [
            'echo "error: there is no implicit build of this export: use explicit." >&2',
            "exit 2",
        ]
    fp16 = " --fp16" if build.half else ""
    limits = " --precisionConstraints=prefer" if build.implicit_layers else ""
    return [
        "# Another version than the cache's first line names would calibrate on random numbers.",
        "seen=$(trtexec --help 2>/dev/null | sed -n 's/.*\\[TensorRT v\\([0-9]*\\)\\].*/\\1/p' | head -n 1)",
        "cache=$(mktemp)",
        "trap 'rm -f -- \"$cache\"' EXIT",
        'sed "1s/^TRT-[0-9]*/TRT-${seen:-' + str(build.version.number) + '}/" '
        'implicit/calibration.cache > "$cache"',
        *_list_lines(build.implicit_layers, "implicit/layer_precisions.txt"),
        (
            "trtexec --onnx=implicit/model.onnx --saveEngine=engine.plan "
            f'--int8{fp16} "--calib=$cache"{limits} "$@"'
        ),
    ]


def build_py(build: Build) -> str:
    """Return `build.py`, which builds the engine through TensorRT's Python API."""
    config = {
        "major": build.version.major,
        "strongly_typed": (build.typed or build.fp8) and build.version.major < 11,
        "half": build.half,
        "implicit": build.implicit,
        "shapes": {name: [list(s) for s in ranges] for name, ranges in build.shapes.items()},
        "explicit_layers": {t.node: t.precision for t in build.explicit_layers},
        "implicit_layers": {t.node: t.precision for t in build.implicit_layers},
    }
    text = pprint.pformat(config, width=96, sort_dicts=False)
    return BUILD_PY[build.version.implicit].replace("CONFIG = {}", f"CONFIG = {text}")


BATCHES = (1, 8, 32)
"""Minimum, optimum and maximum batch. They are our choice; users change them in the scripts."""


DEFAULT_LENGTH = 224
"""Length of a dynamic axis that neither a sample nor the preprocessing gives."""


ShapeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def shape_ranges(
    graph: Graph, deployment: Deployment, names: Mapping[str, str]
) -> dict[str, ShapeRange]:
    """Return the three shapes of every input, or {} if none has a dynamic axis.

    The first axis is the batch. Other dynamic axes get their length from a calibration sample, else
    from the preprocessing, else 224.

    Args:
        graph: The prepared graph.
        deployment: Holds samples and preprocessing.
        names: Old tensor name to new name.
    """
    inputs = graph.inputs
    if all(isinstance(d, int) for v in inputs for d in (v.shape or ())):
        return {}
    sample = _sample_shapes(graph, deployment)
    ranges = {}
    for value in inputs:
        name = str(value.name)
        shapes = [_shape(value, sample.get(name, ()), batch) for batch in BATCHES]
        ranges[names.get(name, name)] = (shapes[0], shapes[1], shapes[2])
    return ranges


def _shape(value: ir.Value, sample: tuple[int | None, ...], batch: int) -> tuple[int, ...]:
    sizes = list(value.shape or ())
    lengths = (
        [batch, *sample] if len(sample) == len(sizes) - 1 else [batch] + [None] * (len(sizes) - 1)
    )
    return tuple(
        d if isinstance(d, int) else (lengths[i] or DEFAULT_LENGTH) for i, d in enumerate(sizes)
    )


def _sample_shapes(graph: Graph, deployment: Deployment) -> dict[str, tuple[int | None, ...]]:
    """Return input name to the shape of one sample, without batch axis."""
    if deployment.samples is not None:
        for _, tensors in deployment.samples(1):
            return {name: tuple(array.shape) for name, array in tensors.items()}
    if deployment.preprocess is not None and len(graph.inputs) == 1:
        return {str(graph.inputs[0].name): deployment.preprocess.tensor_shape}
    return {}
