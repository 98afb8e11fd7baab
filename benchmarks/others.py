"""Quantize with another tool: run by the Python of that tool's own environment, without `quant`.

    python others.py TOOL model.onnx samples.npz out.onnx

The samples have the inputs' names and one row a sample. A Q/DQ model is written, and one JSON object
printed: seconds of the quantizer alone, peak memory in MiB, and the versions.
"""

__all__ = ["TOOLS", "main"]

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

Feeds = dict[str, Any]


def _rows(path: str) -> list[Feeds]:
    import numpy as np

    held = np.load(path)
    count = len(held[held.files[0]])
    return [{name: held[name][i : i + 1] for name in held.files} for i in range(count)]


def _onnxruntime(method: str) -> Callable[[str, list[Feeds], str], None]:
    def run(model: str, rows: list[Feeds], out: str) -> None:
        from onnxruntime.quantization import (
            CalibrationDataReader,
            CalibrationMethod,
            QuantType,
            quantize_static,
        )

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._rows: Iterator[Feeds] = iter(rows)

            def get_next(self) -> Feeds | None:
                return next(self._rows, None)

        quantize_static(
            model,
            out,
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
        )

    return run


def _nncf(kind: str | None) -> Callable[[str, list[Feeds], str], None]:
    def run(model: str, rows: list[Feeds], out: str) -> None:
        import nncf
        import onnx

        made = nncf.quantize(
            onnx.load(model),
            nncf.Dataset(rows, lambda row: row),
            subset_size=len(rows),
            fast_bias_correction=True,
            model_type=None if kind is None else nncf.ModelType[kind],
        )
        onnx.save(made, out)

    return run


def _modelopt(model: str, rows: list[Feeds], out: str) -> None:
    import numpy as np
    from modelopt.onnx.quantization import quantize

    quantize(
        model,
        quantize_mode="int8",
        calibration_data={k: np.concatenate([r[k] for r in rows]) for k in rows[0]},
        calibration_method="entropy",
        calibration_eps=["cpu"],
        output_path=out,
    )


def _aimet(model: str, rows: list[Feeds], out: str) -> None:
    import aimet_onnx
    import onnx

    sim = aimet_onnx.QuantizationSimModel(
        onnx.load(model),
        param_type=aimet_onnx.int8,
        activation_type=aimet_onnx.int8,
        providers=["CPUExecutionProvider"],
    )
    sim.compute_encodings(rows)
    onnx.save(sim.to_onnx_qdq(), out)


TOOLS: dict[str, tuple[Callable[[str, list[Feeds], str], None], tuple[str, ...]]] = {
    "onnxruntime minmax": (_onnxruntime("MinMax"), ("onnxruntime", "onnx")),
    "onnxruntime percentile": (_onnxruntime("Percentile"), ("onnxruntime", "onnx")),
    "onnxruntime entropy": (_onnxruntime("Entropy"), ("onnxruntime", "onnx")),
    "nncf": (_nncf(None), ("nncf", "onnx", "onnxruntime")),
    "nncf transformer": (_nncf("TRANSFORMER"), ("nncf", "onnx", "onnxruntime")),
    "modelopt entropy": (_modelopt, ("nvidia-modelopt[onnx]",)),
    "aimet-onnx": (_aimet, ("aimet-onnx", "onnxruntime")),
}
"""By name what quantizes, and the packages of its environment, its own first."""


def main() -> int:
    """Quantize and report."""
    tool, model, samples, out = sys.argv[1:]
    run, packages = TOOLS[tool]
    rows = _rows(samples)
    start = time.perf_counter()
    run(model, rows, out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {p.split("[")[0]: version(p.split("[")[0]) for p in packages}
    print("\n" + json.dumps({"seconds": seconds, "peak_mib": peak, "versions": told}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
