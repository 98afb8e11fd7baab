"""DEPLOY.md of an OpenVINO export: the steps, example programs, and what was verified."""

__all__ = ["deploy_md"]

import json
from collections.abc import Mapping
from typing import Any

from quant.export.openvino.files.code_lines import cpp_lines, python_lines
from quant.export.qdq.page_parts import precision_section, preprocessing_section, single_line
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment, sample_shapes


def deploy_md(graph: Graph, plan: Plan, deployment: Deployment) -> str:
    """Return the page for the engineer who puts the model into a program."""
    parts = [
        [f"# Deploying {single_line(graph.name)} on OpenVINO"],
        _files_section(),
        _steps_section(graph, deployment),
        _code_section(graph, deployment),
        preprocessing_section(deployment),
        precision_section(plan),
        _notes(),
        _verified_section(),
    ]
    return "\n".join(line for part in parts for line in [*part, ""]).rstrip("\n") + "\n"


def _files_section() -> list[str]:
    return [
        "## Files",
        "",
        "| file | what it is |",
        "|---|---|",
        "| `model.onnx` | the network with Q/DQ; OpenVINO reads it as it is |",
    ]


def _steps_section(graph: Graph, deployment: Deployment) -> list[str]:
    shape = _shape_option(graph, deployment)
    flag = f" {shape}" if shape else ""
    return [
        "## Steps",
        "",
        (
            "1. `pip install openvino` (2024.4 or later). Nothing has to be converted. Where an IR is "
            "wanted (the model as `model.xml` and `model.bin`; `ovc` reports usage to Intel until "
            "`opt_in_out --opt_out`):"
        ),
        "",
        "   ```sh",
        "   ovc model.onnx --compress_to_fp16=False",
        "   ```",
        "",
        "2. Time it, and the float model beside it:",
        "",
        "   ```sh",
        f"   benchmark_app -m model.onnx -d CPU -hint latency{flag}",
        "   ```",
        "",
        (
            "3. See which layers run in integers: `execType` of their counters ends in `_I8` or `_i8`. "
            "`runtimePrecision` alone does not prove it."
        ),
        "",
        "   ```sh",
        f"   benchmark_app -m model.onnx -d CPU -hint latency -pc{flag}",
        "   ```",
    ]


def _shape_option(graph: Graph, deployment: Deployment) -> str:
    """Return the option that fixes dynamic axes for benchmark_app, or "" where none is dynamic."""
    shapes = sample_shapes(graph, deployment)
    dynamic = [
        v for v in graph.inputs if v.shape is None or not all(isinstance(d, int) for d in v.shape)
    ]
    sizes: Mapping[str, Any] = {str(v.name): shapes[str(v.name)] for v in dynamic}
    if not sizes or any(0 in dims for dims in sizes.values()):
        return ""
    if any(set(name) & set("[],'\"\\$` ") or not name.isprintable() for name in sizes):
        return ""
    text = ",".join(f"{name}[{','.join(map(str, (1, *dims)))}]" for name, dims in sizes.items())
    return f"-shape '{text}'"


def _code_section(graph: Graph, deployment: Deployment) -> list[str]:
    lines = ["## In a program", "", "Python:", "", "```python"]
    lines += [*python_lines(graph, deployment), "```", "", "C++:", "", "```cpp"]
    lines += [*cpp_lines(graph, deployment), "```"]
    names = ", ".join(json.dumps(str(v.name)) for v in graph.outputs)
    return [*lines, "", f"Outputs, in order: {single_line(names)}."]


def _notes() -> list[str]:
    return [
        "## Worth knowing",
        "",
        (
            "- On CPUs with AMX or AVX-512 BF16 OpenVINO may compute float layers in bfloat16. "
            "`INFERENCE_PRECISION_HINT` `f32` keeps them in float32, as was measured here."
        ),
        (
            "- On CPUs without VNNI, AVX-VNNI or AMX the products of two bytes are added in 16 bits and can "
            "saturate: `openvino-13` in `check.json` counts such layers. Compare the accuracy "
            "there."
        ),
        (
            "- Layers that `check.json` names under `openvino-4` to `openvino-11` compute the numbers of "
            "the plan in float: as exactly, but not as fast."
        ),
        "- Throughput instead of latency: `PERFORMANCE_HINT` `THROUGHPUT`, and several requests.",
    ]


def _verified_section() -> list[str]:
    return [
        "## Verified, and inferred",
        "",
        "- `model.onnx` passes onnx's checker; its integers are those of `simulated.onnx`.",
        "- `quant verify RUN` compares the two in OpenVINO itself where it is installed.",
        (
            "- The rules of `check.json` were found with OpenVINO 2026.4.1 on a CPU with AVX-512 VNNI; what "
            "they say of AMX and of CPUs without VNNI is from Intel's documents and from others."
        ),
        "- Other rules apply to GPUs and NPUs; nothing was run there.",
    ]
