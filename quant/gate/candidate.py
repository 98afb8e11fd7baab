"""A quantized model from any quantizer, opened in the runtime where it will be deployed."""

__all__ = ["Candidate", "open_candidate"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quant.common.errors import InputError, few
from quant.graph.session import FAILURES, reason
from quant.runtimes.runtime import Runtime

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An open quantized model that is called with the reference's names of inputs and outputs.

    Attributes:
        path: The model's file.
        runtime: Where the model runs.
        session: Session of ONNX Runtime, or an object with the same methods.
        inputs: The candidate's name of each input of the reference.
        outputs: The candidate's name of each output of the reference.
        batch: The batch size that the model is built for; None where it takes any.
    """

    path: Path
    runtime: Runtime
    session: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    batch: int | None

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
    path: Path, inputs: Sequence[str], outputs: Sequence[str], runtime: Runtime, threads: int = 0
) -> Candidate:
    """Open a quantized model for a comparison with its reference.

    Args:
        path: ONNX file, or OpenVINO's IR (.xml).
        inputs: Names of the reference's inputs.
        outputs: Names of the reference's outputs.
        runtime: Of a target's table.
        threads: Threads inside one operator; 0 for all cores.

    Raises:
        InputError: The file is not a model, or has another number of inputs or outputs.
        UnsupportedError: The runtime is not installed, or refuses the model.
    """
    session = runtime.open(path, threads)
    first = [v.shape[0] for v in session.get_inputs() if len(v.shape)]
    fixed = [n for n in first if isinstance(n, int)]
    return Candidate(
        path=path,
        runtime=runtime,
        session=session,
        inputs=_matched(path, "input", inputs, [v.name for v in session.get_inputs()]),
        outputs=_matched(path, "output", outputs, [v.name for v in session.get_outputs()]),
        batch=fixed[0] if fixed else None,
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
