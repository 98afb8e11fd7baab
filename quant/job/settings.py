"""The settings of `quant calibrate` as one value, checked once."""

__all__ = ["EFFORTS", "Effort", "Job", "OpensData"]

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

from quant.common.errors import InputError
from quant.job.search_goal import SearchGoal
from quant.load.given_model import GivenModel
from quant.plan.recipe import Recipe
from quant.preprocess.image_to_tensor import Preprocess


class OpensData(Protocol):
    """Samples that a Python program hands over in place of a path."""

    def open(self, inputs: Any, preprocess: Preprocess, labels: Any, /) -> Any:
        """Return the samples as `quant.calibration.Data`."""


Effort: TypeAlias = Literal["fast", "balanced", "best"]

EFFORTS: tuple[Effort, ...] = get_args(Effort)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What `quant calibrate` does, and to which model and data.

    Attributes:
        model: ONNX file, `module:factory`, or a model in memory.
        data: Folder, list, array file, `module:function`, or samples in memory.
        out: Folder of the run.
        preprocess: Image to tensor.
        targets: Names of targets.
        samples: Number of calibration samples.
        holdout: Number of held-out samples that measure, at most.
        layer_samples: How many of the calibration samples the layer table is measured on.
        seed: Seed of the choice of samples.
        labels: CSV file, "folders", or None.
        metrics: Names of metrics or `module:function`; judged where there are labels.
        observer: Default observer, or None for the tool's.
        recipe: TOML file, rules in memory, or None.
        effort: "fast", "balanced" or "best": how much is tried to recover accuracy.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: The greatest share of samples that may be unreadable.
        versions: By target the version or the chip that its files are for, where it is not the
            default: {"tensorrt": "8.6.1", "atlas": "Ascend310P3"}.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        goal: How accurate or cheap a mixed plan must be; None to search for none.
    """

    model: str | GivenModel
    data: str | OpensData
    out: Path
    preprocess: Preprocess
    targets: tuple[str, ...] = ("onnxruntime",)
    samples: int = 256
    holdout: int = 256
    layer_samples: int = 8
    seed: int = 0
    labels: str | None = None
    metrics: tuple[str, ...] = ("top1",)
    observer: str | None = None
    recipe: Path | Recipe | None = None
    effort: Effort = "balanced"
    threads: int = 0
    max_bad: float = 0.05
    versions: Mapping[str, str] = field(default_factory=dict)
    allow_fallback: bool = False
    goal: SearchGoal | None = None

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("holdout", 0), ("layer_samples", 0), ("threads", 0)):
            value = getattr(self, name)
            if value < least:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag}: must be {least} or more, saw {value}. Raise it.")
        if self.effort not in EFFORTS:
            raise InputError(
                f"--effort: must be one of {', '.join(EFFORTS)}, saw '{self.effort}'. Choose one."
            )
        most = 4 * (os.cpu_count() or 1)
        if self.threads > most:
            raise InputError(
                f"--threads: must be {most} or less on this machine, saw {self.threads}. Lower it."
            )
        if not 0 <= self.max_bad <= 1:
            raise InputError(
                f"--max-bad: must be from 0 to 1, saw {self.max_bad}. Write 0.05 for 5 %."
            )
