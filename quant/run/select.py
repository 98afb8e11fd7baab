"""Choose the samples of a pool that should calibrate, and judge whether they are enough."""

__all__ = ["Choice", "select_samples"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.calibration import Batch, batches
from quant.calibration.profiling.run_profile import profile
from quant.calibration.selection.chosen_file import check_suffix, write_chosen
from quant.calibration.selection.chosen_samples import Selection, selection_csv, selection_json
from quant.calibration.selection.features import FeatureHook
from quant.calibration.selection.pool import screened
from quant.calibration.selection.sufficiency import schedule, sufficiency
from quant.choose.planner import Planner
from quant.common.errors import InputError
from quant.common.files import write_json, write_text
from quant.common.progress import Progress
from quant.job.settings import Job
from quant.observers import OBSERVERS
from quant.plan.recipe import NOTHING, load_recipe
from quant.profile.statistics import Profile
from quant.run.material import Material, open_material
from quant.run.profile_samples import max_bad_of
from quant.target.table import TARGETS
from quant.visualize.figures.selection import PoolPoints, selection_figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The options of `quant select` besides a job.

    Attributes:
        count: Number of samples to choose.
        method: Name of a method in `coverage.METHODS`.
        keep_odd: Whether samples that are out of domain may be chosen.
        out: Path of the list or the array file with the chosen samples.
    """

    count: int
    method: str = "coverage"
    keep_odd: bool = False
    out: Path

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"--samples: must be 1 or more, saw {self.count}. Raise it.")


@dataclass(frozen=True, slots=True)
class _Profiler:
    """Profiles parts of the pool."""

    job: Job
    material: Material
    progress: Progress

    def pool(self, hook: FeatureHook) -> Profile:
        """Return the profile of all samples; unreadable ones are noted in the material."""
        material, indices = self.material, self.material.calibrated
        allowed = max_bad_of(self.job, material, indices)
        stream = batches(material.data, indices, material.batch, bad=material.bad, max_bad=allowed)
        return self._profile(stream, len(indices), "pool", hook)

    def part(self, indices: Sequence[int], title: str) -> Profile:
        """Return the profile of some samples, without the unreadable ones."""
        material = self.material
        stream = batches(material.data, indices, material.batch, bad=[], max_bad=1.0)
        return self._profile(stream, len(indices), title)

    def parts(self, indices: Sequence[int]) -> list[Profile]:
        """Return the profiles of the first 8, 16, ... samples, and of all of them."""
        profiles: list[Profile] = []
        before = 0
        for end in [*schedule(2 * len(indices) - 1), len(indices)]:
            part = self.part(indices[before:end], f"first {end}")
            profiles.append(profiles[-1] + part if profiles else part)
            before = end
        return profiles

    def _profile(
        self, stream: Iterable[Batch], samples: int, title: str, hook: FeatureHook | None = None
    ) -> Profile:
        with self.progress.stage("profile"):
            return profile(
                self.material.graph,
                self.progress.bar(stream, -(-samples // self.material.batch), title),
                preprocess=self.job.preprocess.fingerprint,
                threads=self.job.threads,
                hook=hook,
            )


def select_samples(job: Job, choice: Choice, progress: Progress | None = None) -> Selection:
    """Choose samples, and write the list and beside it the table, the figure and the numbers.

    The float network runs once over the pool, and once more over the chosen samples.

    Args:
        job: Model, data and preprocessing; `samples` is the size of the pool, and the ranges are
            those of the first target and the observer.
        choice: Number, method and file of the chosen samples.
        progress: Shows the progress.

    Raises:
        InputError: Something the user can mend, or no sample may be chosen.
    """
    progress = progress or Progress()
    target = TARGETS[job.targets[0]]
    if job.observer is not None:
        _ = OBSERVERS[job.observer]
    recipe = load_recipe(job.recipe, list(OBSERVERS)) if job.recipe else NOTHING
    material = open_material(job, progress)
    check_suffix(material.data, choice.out)
    _must_not_mix(material.data.name, choice.out)
    graph, index = material.graph, {material.data.key(i): i for i in material.calibrated}
    profiler = _Profiler(job, material, progress)
    hook = FeatureHook(
        [str(v.name) for v in graph.inputs], [str(v.name) for v in graph.model.graph.outputs]
    )
    full = profiler.pool(hook)
    with progress.stage("choose"):
        pool = screened(hook.result())
        if not len(pool.eligible(choice.keep_odd)):
            raise InputError(
                f"--data {job.data}: no sample may be chosen: {int(pool.broken.sum())} of "
                f"{len(pool)} make activations that are not finite. Mend the model or the data."
            )
        chosen = pool.choose(choice.method, choice.count, job.seed, choice.keep_odd)
    rows = [index[key] for key in pool.features.keys]
    listed = [rows[i] for i in chosen.tolist()]
    write_chosen(material.data, listed, choice.out)
    if pool.out_of_domain.any() and not choice.keep_odd:
        inside = [rows[i] for i in range(len(pool)) if not pool.out_of_domain[i]]
        full = profiler.part(inside, "inside the domain")
    parts = profiler.parts(listed)
    with progress.stage("ranges"):
        planner = Planner(target=target, recipe=recipe, observer=job.observer)
        enough = sufficiency(planner, graph, parts, full)
    selection = Selection(
        data=material.data.name,
        method=choice.method,
        seed=job.seed,
        requested=choice.count,
        pool=pool,
        chosen=chosen,
        sufficiency=enough,
        unreadable=tuple(sorted(dict(material.bad).items())),
    )
    with progress.stage("write"):
        write_text(choice.out.with_suffix(".csv"), selection_csv(selection))
        selection_figure(
            PoolPoints(
                points=pool.points,
                chosen=chosen.tolist(),
                duplicates=np.flatnonzero(pool.copy_of >= 0).tolist(),
                out_of_domain=selection.out_of_domain,
            ),
            enough,
            choice.out.with_suffix(".png"),
            f"{graph.name}: {len(chosen)} of {len(pool)} samples by {choice.method}",
        )
        write_json(choice.out.with_suffix(".json"), selection_json(selection))
    if len(chosen) < choice.count:
        progress.warn(
            f"--samples: only {len(chosen)} of the {choice.count} that were asked for are neither "
            "duplicates nor otherwise left out. Give more data."
        )
    return selection


def _must_not_mix(data: str, out: Path) -> None:
    """Refuse to write the figure among the pictures, where it would become a sample."""
    folder = Path(data).resolve()
    if folder.is_dir() and folder in out.resolve().parents:
        raise InputError(
            f"--out {out}: it must not lie among the samples, where its figure would become one, saw "
            f"--data '{data}'. Give another folder."
        )
