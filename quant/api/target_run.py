"""One target's part of a run: numbers, plan and files, read from its folder."""

__all__ = ["TargetRun"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant.analysis.layer_error import LayerError
    from quant.plan.tensor_plans import Plan


@dataclass(frozen=True, eq=False)
class TargetRun:
    """One target's part of a run.

    What is measured is measured on the held-out samples: in integers where the target runs on this
    machine (ONNX Runtime, OpenVINO), else on the simulation.

    Attributes:
        name: Name of the target.
        folder: Its folder; what `files` names lies there.
        facts: Its part of `run.json`.
        timing: Milliseconds a sample that were measured here: `float_ms`, `integer_ms` and
            `speedup`; empty where the target does not run on this machine.
    """

    name: str
    folder: Path
    facts: Mapping[str, Any] = field(repr=False)
    timing: Mapping[str, float] = field(repr=False)

    @property
    def measured(self) -> Mapping[str, Any]:
        """The comparison with float: `samples`, `sqnr_db`, `agreement`, `scores`, `outputs`."""
        found: Mapping[str, Any] = self.facts.get("integer") or self.facts.get("simulated") or {}
        return found

    @property
    def scores(self) -> Mapping[str, float]:
        """By metric the score of the quantized network; empty where nothing was judged."""
        return dict(self.measured.get("scores") or {})

    @property
    def float_scores(self) -> Mapping[str, float]:
        """By metric the score of the float network."""
        return dict(self.measured.get("float_scores") or {})

    @property
    def accuracy(self) -> float | None:
        """The score of the first metric; None where nothing was judged."""
        return next(iter(self.scores.values()), None)

    @property
    def float_accuracy(self) -> float | None:
        """The float network's score of the first metric."""
        return next(iter(self.float_scores.values()), None)

    @property
    def sqnr_db(self) -> float | None:
        """SQNR at the worst output, in dB; None where it is not finite or was not measured."""
        return self.measured.get("sqnr_db")

    @property
    def agreement(self) -> float | None:
        """Share of samples with float's class, 0 to 1; None for what is no classifier."""
        return self.measured.get("agreement")

    @property
    def speedup(self) -> float | None:
        """Float's time over the integer graph's on this machine; None where it does not run here."""
        return self.timing.get("speedup")

    @property
    def predicted_ms(self) -> float | None:
        """Milliseconds a sample that the roofline of `predicted_device` promises; None without one."""
        return self.facts.get("predicted_ms")

    @property
    def predicted_device(self) -> str | None:
        """The device that the prediction is for."""
        found: str | None = (self.facts.get("predicted") or {}).get("device")
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        """What to carry to the target, the main file first."""
        return tuple(self.folder / name for name in self.facts["files"])

    @property
    def size(self) -> int | None:
        """Bytes of the main file, with its external data; None where nothing was exported."""
        return _bytes(self.files[0]) if self.files else None

    @property
    def float_size(self) -> int | None:
        """Bytes of the prepared float graph."""
        return _bytes(self.folder.parent / "prepared.onnx")

    @property
    def simulated(self) -> Path:
        """The graph that computes the target's numbers in ONNX Runtime."""
        return self.folder / "simulated.onnx"

    @property
    def plan_path(self) -> Path:
        """The file of the plan, for `quant.simulate` and `quant.export`."""
        return self.folder / "plan.json"

    @cached_property
    def plan(self) -> "Plan":
        """Every tensor's format, scale and zero point, and why."""
        from quant.plan.file import load_plan

        return load_plan(self.plan_path)

    @cached_property
    def layers(self) -> "list[LayerError]":
        """A row for each layer: its error alone and accumulated, weight error, saturation, MACs."""
        from quant.analysis.layer_error import read_layers

        return list(read_layers(self.folder / "layers.csv"))


def _bytes(path: Path) -> int | None:
    """Return the size of a file and of external data beside it; None where it is not there."""
    parts = [path, path.with_name(f"{path.name}.data")]
    return sum(p.stat().st_size for p in parts if p.is_file()) if path.is_file() else None
