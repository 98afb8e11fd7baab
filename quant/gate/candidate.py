"""A quantized model from any quantizer, opened in the runtime where it will be deployed.

OpenVINO is an extra: `pip install boardquant[openvino]`. Its Core reads ONNX and IR by itself; its
converter, which reports usage, is not called.
"""

__all__ = ["RUNTIMES", "Candidate", "open_candidate"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import InputError, UnsupportedError, few
from quant.formats.number_format import DOMAIN
from quant.graph.session import FAILURES, open_session, reason
from quant.load.onnx_file import read_proto
from quant.simulate.simulated_graph import open_simulation

Array = NDArray[Any]

RUNTIMES = ("onnxruntime", "openvino")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An open quantized model that is called with the reference's names of inputs and outputs.

    Attributes:
        path: The model's file.
        session: Session of ONNX Runtime, or an object with the same methods.
        inputs: The candidate's name of each input of the reference.
        outputs: The candidate's name of each output of the reference.
        batch: The batch size that the model is built for; None where it takes any.
        model: The graph of an ONNX file; None for other formats.
    """

    path: Path
    session: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    batch: int | None
    model: ir.Model | None

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Run the model and return the outputs of these names.

        Raises:
            InputError: The runtime refuses the feeds.
        """
        own_feeds = {self.inputs[name]: x for name, x in feeds.items()}
        try:
            outputs: list[Array] = self.session.run([self.outputs[n] for n in names], own_feeds)
        except FAILURES as error:
            shapes = ", ".join(f"'{n}' {'x'.join(map(str, x.shape))}" for n, x in own_feeds.items())
            raise InputError(
                f"{self.path}: it must run on {shapes}, and said '{reason(error)}'. Export it for "
                "that shape."
            ) from error
        return outputs


def open_candidate(
    path: Path, inputs: Sequence[str], outputs: Sequence[str], runtime: str, threads: int = 0
) -> Candidate:
    """Open a quantized model for a comparison with its reference.

    Args:
        path: ONNX file, or OpenVINO's IR (.xml).
        inputs: Names of the reference's inputs.
        outputs: Names of the reference's outputs.
        runtime: One of RUNTIMES.
        threads: Threads inside one operator; 0 for all cores.

    Raises:
        InputError: The file is not a model, or has another number of inputs or outputs.
        UnsupportedError: OpenVINO is asked for and not installed, or the runtime refuses the model.
    """
    if runtime == "openvino":
        session, model = _openvino(path, threads), None
    else:
        if path.suffix == ".xml":
            raise InputError(f"{path}: OpenVINO's IR runs in OpenVINO. Give --runtime openvino.")
        model = ir.from_proto(read_proto(path))
        ir.external_data.set_base_dir(model.graph, path.resolve().parent)
        ours = any(node.domain == DOMAIN for node in model.graph)
        session = open_simulation(model, threads) if ours else open_session(model, threads=threads)
    first = [v.shape[0] for v in session.get_inputs() if len(v.shape)]
    fixed = [n for n in first if isinstance(n, int)]
    return Candidate(
        path=path,
        session=session,
        inputs=_matched(path, "input", inputs, [v.name for v in session.get_inputs()]),
        outputs=_matched(path, "output", outputs, [v.name for v in session.get_outputs()]),
        batch=fixed[0] if fixed else None,
        model=model,
    )


def _matched(
    path: Path, kind: str, reference: Sequence[str], candidate: Sequence[str]
) -> dict[str, str]:
    """Return the candidate's name of each reference name: the same where all agree, else in order."""
    if set(reference) <= set(candidate):
        return {name: name for name in reference}
    if len(reference) != len(candidate):
        raise InputError(
            f"{path}: a candidate must have the reference's {kind}s, saw {len(candidate)}: {few(candidate)}; wanted "
            f"{len(reference)}: {few(reference)}. Export both from one network."
        )
    return dict(zip(reference, candidate, strict=True))


@dataclass(frozen=True, slots=True)
class _Port:
    """An input or an output of OpenVINO, as ONNX Runtime would describe it."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class _OpenVino:
    """A compiled model with the methods of an ONNX Runtime session."""

    compiled: Any

    def get_inputs(self) -> list[_Port]:
        return [_port(p) for p in self.compiled.inputs]

    def get_outputs(self) -> list[_Port]:
        return [_port(p) for p in self.compiled.outputs]

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        results = self.compiled({name: np.ascontiguousarray(x) for name, x in feeds.items()})
        by_name = {
            name: results[port] for port in self.compiled.outputs for name in port.get_names()
        }
        return [np.array(by_name[name]) for name in names]


def _port(port: Any) -> _Port:
    shape = tuple(int(d.get_length()) if d.is_static else None for d in port.partial_shape)
    return _Port(port.get_any_name(), shape)


def _openvino(path: Path, threads: int) -> _OpenVino:
    try:
        import openvino
    except ImportError as error:
        raise UnsupportedError(
            "--runtime openvino: OpenVINO is not installed here. Run pip install "
            "'boardquant[openvino]', or give --runtime onnxruntime."
        ) from error
    if not path.is_file() or path.suffix not in (".onnx", ".xml"):
        raise InputError(
            f"{path}: OpenVINO takes an .onnx or .xml file, saw "
            f"{'none' if not path.is_file() else repr(path.suffix)}. Name one."
        )
    # on a CPU with bfloat16, OpenVINO would compute float layers in it without saying so
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"} | (
        {"INFERENCE_NUM_THREADS": threads} if threads else {}
    )
    try:
        core = openvino.Core()
        return _OpenVino(core.compile_model(core.read_model(path), "CPU", settings))
    except RuntimeError as error:
        message = " ".join(str(error).split()).replace("'", '"')
        raise UnsupportedError(
            f"{path}: OpenVINO {openvino.__version__} must be able to load it, and said "
            f"'{message[-200:]}'. Export it again, or give --runtime onnxruntime."
        ) from error
