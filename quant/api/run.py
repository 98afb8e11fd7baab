"""Run: the numbers and the files of a finished run, read from its folder."""

__all__ = ["Run"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.api.target_run import TargetRun

if TYPE_CHECKING:
    from quant.results.saved_run import SavedRun


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A finished run: its numbers, its files, and its summary as text or in a notebook.

    Attributes:
        folder: Where its files lie.
        facts: `run.json`, as `docs/files.md` describes it.
        timing: `timing.json`: seconds of each stage, and milliseconds a sample.
    """

    folder: Path
    facts: Mapping[str, Any] = field(repr=False)
    timing: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: "str | Path") -> "Run":
        """Open the folder of a run, whether Python or the command line made it.

        Raises:
            InputError: It is no folder of a run, or one of another version.
        """
        from quant.results.saved_run import read_facts, read_timing

        path = Path(folder)
        return cls(folder=path, facts=read_facts(path), timing=read_timing(path))

    def __repr__(self) -> str:
        """Return one line: the folder, and what each target came to."""
        said = (f"{name} {_brief(target)}" for name, target in self.targets.items())
        return f"Run('{self.folder}': {'; '.join(said)})"

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.facts["model"]["name"])

    @cached_property
    def targets(self) -> Mapping[str, TargetRun]:
        """Each target's part, by name, in the order in which they were asked for."""
        times = self.timing.get("milliseconds_per_sample") or {}
        return {
            name: TargetRun(name, self.folder / name, facts, times.get(name) or {})
            for name, facts in self.facts["targets"].items()
        }

    @property
    def report(self) -> Path:
        """The page that opens offline: verdict, worst layers, causes and remedies."""
        return self.folder / "report.html"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What you should know before you believe the numbers, one sentence each."""
        return tuple(self.facts.get("warnings") or ())

    @property
    def breaches(self) -> tuple[str, ...]:
        """Limits of a search that no plan keeps, one sentence each; empty where all are kept."""
        from quant.search.summary import breached

        found = [
            breached(name, facts["search"])
            for name, facts in self.facts["targets"].items()
            if "search" in facts
        ]
        return tuple(f"{sentence}." for sentence in found if sentence is not None)

    @cached_property
    def saved(self) -> "SavedRun":
        """All that the folder holds, read for reports: graphs, profiles, layer tables and causes."""
        from quant.results.saved_run import load_run

        return load_run(self.folder)

    def summary(self, *, verbose: bool = False) -> str:
        """Return what the command line prints of the run: warnings, then the verdict of each target.

        Args:
            verbose: Whether to begin with what each step did and the worst layers of every target.
        """
        from quant.visualize.terminal.run import details_text, run_text, worst_layers_text

        timing = {"seconds": {}, **self.timing}
        parts = [details_text(self.saved, timing)] if verbose else []
        parts += [worst_layers_text(self.saved, every=verbose)]
        parts += [f"warning: {warning}" for warning in self.warnings]
        parts += [run_text(self.saved, timing), *(f"error: {breach}" for breach in self.breaches)]
        return "\n\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        """Return the run as a notebook shows it; names out of models are escaped."""
        from quant.api.notebook import run_html

        return run_html(self.saved, self.targets, self.breaches)


def _brief(target: TargetRun) -> str:
    """Return the score of the first metric, or the SQNR."""
    for metric, value in target.scores.items():
        return f"{metric} {value:.4f} (float {target.float_scores[metric]:.4f})"
    return "not measured" if target.sqnr_db is None else f"SQNR {target.sqnr_db:.1f} dB"
