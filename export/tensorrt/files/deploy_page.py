"""DEPLOY.md of a TensorRT export: its files, the steps, and what was verified or only inferred."""

__all__ = ["FILES", "deploy_md", "renamed_section"]

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from quant.export.qdq.page_parts import (
    MAX_LINES,
    code_span,
    precision_section,
    preprocessing_section,
    single_line,
)
from quant.export.tensorrt.files.build_scripts import BATCHES, Build
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment

FILES: Mapping[str, str] = MappingProxyType(
    {
        "model.onnx": "the network with Q/DQ, for an explicit build",
        "layer_precisions.txt": "the precision of each float layer, as options of trtexec",
        "implicit/model.onnx": "the float network, without Q/DQ",
        "implicit/calibration.cache": "the scale of every float tensor of that network",
        "implicit/dynamic_range.json": "the same scales as ranges (scale * 127), in PPQ's form",
        "implicit/dynamic_range.txt": "the same ranges, in the form of NVIDIA's sampleINT8API",
        "implicit/layer_precisions.txt": "the precision of each layer, as options of trtexec",
        "build.sh": "builds `engine.plan` with trtexec",
        "build.py": "builds `engine.plan` with the Python API",
    }
)
"""File of an export to its description, without `DEPLOY.md`."""


def deploy_md(
    graph: Graph, plan: Plan, deployment: Deployment, build: Build, facts: Mapping[str, Any]
) -> str:
    """Return the page for the engineer who builds the engine."""
    parts = [
        [f"# Deploying {single_line(graph.name)} on TensorRT {build.version.major}"],
        _files(build),
        _steps(build, facts),
        preprocessing_section(deployment),
        precision_section(plan),
        renamed_section(facts),
        _verified(build),
        _inferred(build, facts),
    ]
    return "\n".join(line for part in parts if part for line in [*part, ""]).rstrip("\n") + "\n"


def _files(build: Build) -> list[str]:
    names = ["model.onnx", *(["layer_precisions.txt"] if build.explicit_layers else [])]
    if build.implicit:
        names += [n for n in FILES if n.startswith("implicit/")]
        if not build.implicit_layers:
            names.remove("implicit/layer_precisions.txt")
    rows = [f"| `{name}` | {FILES[name]} |" for name in [*names, "build.sh", "build.py"]]
    return ["## Files", "", "| file | what it is |", "|---|---|", *rows]


def _steps(build: Build, facts: Mapping[str, Any]) -> list[str]:
    major = build.version.major
    flags = " ".join(build.explicit_flags) or "no type flags"
    lines = [
        "## Steps",
        "",
        f"1. On a machine with the GPU and TensorRT {major}, build the engine ({flags}):",
        "",
        "   ```sh",
        "   sh build.sh",
        "   ```",
        "",
        "   or, without trtexec, `python build.py`. Both write `engine.plan`.",
        "2. See what was fused, and look for layers that are not Int8 but should be:",
        "",
        "   ```sh",
        "   sh build.sh explicit --profilingVerbosity=detailed --exportLayerInfo=layers.json",
        "   ```",
        "",
        "3. Time it:",
        "",
        "   ```sh",
        "   trtexec --loadEngine=engine.plan",
        "   ```",
    ]
    if not build.explicit_flags or "--stronglyTyped" in build.explicit_flags:
        lines += ["", "All types come from the graph; do not add flags such as `--fp16`."]
    elif not build.half:
        lines += [
            "",
            (
                "Float layers run in float32, as was measured. `sh build.sh explicit --fp16` lets them "
                "run in float16: faster, and not measured here."
            ),
        ]
    if build.shapes:
        batches = ", ".join(map(str, BATCHES))
        lines += [
            "",
            f"The engine takes batches of {batches} (min, opt, max); edit both scripts for others.",
        ]
    if build.implicit:
        lines += [
            "",
            (
                "Where Q/DQ is not wanted (old 8.x, comparisons), build the float network with its "
                "ranges instead; never combine the two:"
            ),
            "",
            "```sh",
            "sh build.sh implicit",
            "```",
            "",
            (
                "Conv outputs in front of a Relu or Clip carry the range of the fused output. "
                "TensorRT then quantizes the weights itself, and bias corrections of the plan are not "
                "in this graph."
            ),
        ]
    elif build.version.implicit:
        lines += ["", f"There is no implicit build: {facts['no_implicit_because']}."]
    return lines


def _verified(build: Build) -> list[str]:
    same = "its integers are those of `simulated.onnx`, which ONNX Runtime ran for the report"
    if build.typed:
        same += "; here scales are rounded to float16 (by 0.2 % at most), and float16 layers typed"
    return [
        "## Verified",
        "",
        f"- `model.onnx` passes onnx's checker; {same}.",
        "- `check.json`: the 30 rules of TensorRT's open parser and of NVIDIA's documents.",
    ]


def _inferred(build: Build, facts: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Inferred",
        "",
        (
            "- TensorRT did not run here: that it accepts and fuses the graph is concluded from the "
            "source of its ONNX parser (10.1) and from NVIDIA's placement rules as others quote them."
        ),
    ]
    if build.version.implicit:
        lines.append(
            f"- Made for {build.version}; another minor version of {build.version.major} should "
            "work, and another major version needs its own export."
        )
        if build.version.major == 8:
            lines.append(
                f"- The graph is of opset {facts['opset']}: 8.6 reads up to 17, 8.0 to 8.4 up to 13."
            )
    else:
        lines.append(
            "- For version 11 only headers and documents were read, not the parser's source."
        )
    if build.implicit:
        lines.append(
            "- `build.sh implicit` writes the installed version into the first line of the cache, "
            "because TensorRT ignores the cache of another version. Constants inside the network have "
            "no range: "
            "TensorRT warns of them and computes their readers in float."
        )
    if build.shapes:
        lines.append(
            "- Lengths of dynamic axes come from a sample or the preprocessing, else they are 224."
        )
    if facts["strongly_typed"] and build.half:
        lines.append("- The float types beside an integer layer (bias, scales) are our choice.")
    return lines


def renamed_section(facts: Mapping[str, Any]) -> list[str]:
    """Return the section about renamed nodes and tensors, or [] where none was renamed."""
    pairs = {**facts["renamed_nodes"], **facts["renamed_tensors"]}
    if not pairs:
        return []
    rows = [f"| {code_span(old)} | {code_span(new)} |" for old, new in pairs.items()]
    more = [f"| and {len(rows) - MAX_LINES} more, in run.json | |"] if len(rows) > MAX_LINES else []
    return [
        "## Renamed",
        "",
        "TensorRT's lists and caches break at some characters; in these files:",
        "",
        "| in the model | here |",
        "|---|---|",
        *rows[:MAX_LINES],
        *more,
    ]
