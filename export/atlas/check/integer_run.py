"""Rule 28: compare the interpreted deploy model with its simulation and with the float model."""

__all__ = ["run_findings"]

from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import QuantError
from quant.export.atlas.check.integrity import shapes_of
from quant.export.atlas.check.interpret import interpret
from quant.export.atlas.check.view import Findings, View, finding
from quant.graph.session import FAILURES, open_session
from quant.metrics.squared_error import sqnr
from quant.target.deployment import SampleReader

LIMIT_DB = 20.0
"""8 bits give some 30 dB on a few layers; below this limit a grid is wrong. The limit is ours."""

SAME_LAYER_DB = 60.0
"""SQNR of two float32 kernels of one layer, whose last bits a quantizer may flip. Limit of ours."""

AGAIN = "Export the model again."
MAX_MACS = 5e9
"""Multiply-accumulates of one sample up to which the interpreter is run: some seconds."""

SEED = 20
SAMPLES = 4

RUN_ERRORS: tuple[type[Exception], ...] = (
    QuantError,
    *FAILURES,
    KeyError,
    ValueError,
    IndexError,
    AttributeError,
    TypeError,
)
"""Errors of a run whose attributes or shapes do not fit."""


def run_findings(
    view: View,
    simulation: onnx.ModelProto | None,
    floats: onnx.ModelProto | None,
    samples: SampleReader | None,
) -> Findings:
    """Yield the findings of runs; there are none without a model to compare with.

    Args:
        view: The deploy model.
        simulation: simulated.onnx, whose outputs must be equal bit for bit on any input.
        floats: float_model.onnx, whose outputs must be near on real samples; noise would saturate.
        samples: Calibration samples; None leaves `floats` out.
    """
    count = _macs(view)
    if count > MAX_MACS:
        saw = f"{count / 1e9:.1f} GMAC, for which the interpreter would take minutes"
        mend = "Run the export's simulated.onnx on samples of yours."
        yield finding(
            28, "info", view.file, saw=saw, wanted=f"{MAX_MACS / 1e9:g} GMAC or less", mend=mend
        )
        return
    try:
        if simulation is not None:
            feeds = _noise(view)
            yield from _simulation_findings(
                view, interpret(view.model, feeds), _run(simulation, feeds)
            )
        if floats is not None and samples is not None:
            yield from _float_findings(view, floats, samples)
    except RUN_ERRORS as error:
        saw = f"a model that does not run: {' '.join(str(error).split())}"
        yield finding(
            28, "warning", view.file, saw=saw, wanted="a run on seeded inputs", mend=AGAIN
        )


def _macs(view: View) -> int:
    """Return the multiply-accumulates of the INT8 layers for one sample, 0 for unknown shapes."""
    shapes, total = shapes_of(view.model), 0
    for node in view.integer:
        tensor = view.constant(node, 1)
        name = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
        shape = shapes.get(name)
        if tensor is None or shape is None:
            continue
        spread = tensor.dims[0] if node.op_type in ("Conv", "ConvTranspose") else tensor.dims[-1]
        total += prod(s or 0 for s in shape[1:]) * prod(tensor.dims) // max(spread, 1)
    return int(total)


def _noise(view: View) -> dict[str, NDArray[Any]]:
    """Return one random sample over the range of each input's quantizer; dynamic sizes are 1."""
    rng = np.random.default_rng(SEED)
    feeds = {}
    for value in view.model.graph.input:
        if value.name in view.constants:
            continue
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        low, high = -1.0, 1.0
        for node, _ in view.readers.get(value.name, []):
            if node.op_type == "AscendQuant":
                attributes = view.attributes_of(node)
                low = (-128 - attributes["offset"]) / attributes["scale"]
                high = (127 - attributes["offset"]) / attributes["scale"]
        feeds[value.name] = rng.uniform(low, high, shape).astype(np.float32)
    return feeds


def _run(model: onnx.ModelProto, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    names = [v.name for v in model.graph.output]
    session = open_session(ir.from_proto(model), optimize=False)
    return dict(zip(names, session.run(names, feeds), strict=True))


def _simulation_findings(
    view: View, deployed: dict[str, NDArray[Any]], simulated: dict[str, NDArray[Any]]
) -> Findings:
    floating = any(
        n.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and n not in view.integer
        for n in view.nodes
    )
    for name, array in deployed.items():
        expected = simulated.get(name)
        if expected is not None and np.array_equal(array, expected, equal_nan=True):
            continue
        if expected is not None and floating and sqnr(array, expected) > SAME_LAYER_DB:
            continue
        difference = (
            np.inf if expected is None or expected.shape != array.shape else _gap(array, expected)
        )
        saw = f"a difference of {difference:.3g} between deploy_model.onnx and simulated.onnx"
        yield finding(28, "error", f"tensor '{name}'", saw=saw, wanted="equal bits", mend=AGAIN)


def _float_findings(view: View, floats: onnx.ModelProto, samples: SampleReader) -> Findings:
    deployed: dict[str, list[NDArray[Any]]] = {}
    expected: dict[str, list[NDArray[Any]]] = {}
    for _, arrays in samples(SAMPLES):
        feeds = {name: np.asarray(array)[None] for name, array in arrays.items()}
        for table, outputs in (
            (deployed, interpret(view.model, feeds)),
            (expected, _run(floats, feeds)),
        ):
            for name, array in outputs.items():
                table.setdefault(name, []).append(array.reshape(-1))
    for name, parts in expected.items():
        if parts[0].dtype.kind != "f":
            continue
        ratio = sqnr(np.concatenate(parts), np.concatenate(deployed[name]))
        if not ratio >= LIMIT_DB:
            saw = f"{ratio:.1f} dB against float_model.onnx on {len(parts)} samples"
            mend = "See the layer table of the report for the layers that lose it."
            yield finding(
                28,
                "warning",
                f"tensor '{name}'",
                saw=saw,
                wanted=f"{LIMIT_DB:g} dB or more",
                mend=mend,
            )


def _gap(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(a.astype(np.float64) - b).max(initial=0))
