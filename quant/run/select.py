"""Selecting: which samples of a pool should calibrate, and whether they are enough."""

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
from quant.visualize.figures.selection import selection_figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What `quant select` was asked beside a job.

    Attributes:
        count: How many samples to choose.
        method: A name of `coverage.METHODS`.
        keep_odd: Whether samples that are out of domain may be chosen.
        out: The list or the array file.
    """

    count: int
    method: str = "coverage"
    keep_odd: bool = False
    out: Path

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"--samples: must be 1 or more, saw {self.count}. Raise it.")


def select_samples(job: Job, choice: Choice, progress: Progress | None = None) -> Selection:
    """Choose samples, and write the list, the table, the figure and the numbers beside it.

    The float network runs once over the pool, and once more over what was chosen.

    Args:
        job: Model, data and preprocessing; `samples` is the size of the pool, and the first target
            and the observer say whose ranges are watched.
        choice: The rest.
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
    watch = FeatureHook(
        [str(v.name) for v in graph.inputs], [str(v.name) for v in graph.model.graph.outputs]
    )
    full = _profile(job, material, material.calibrated, progress, "pool", watch)
    with progress.stage("choose"):
        pool = screened(watch.result())
        if not len(pool.eligible(choice.keep_odd)):
            raise InputError(
                f"--data {job.data}: no sample may be chosen: {int(pool.broken.sum())} of "
                f"{len(pool)} make activations that are not finite. Mend the model or the data."
            )
        chosen = pool.choose(choice.method, choice.count, job.seed, choice.keep_odd)
    rows = [index[key] for key in pool.features.keys]
    listed = [rows[i] for i in chosen.tolist()]
    write_chosen(material.data, listed, choice.out)
    if pool.odd.any() and not choice.keep_odd:
        inside = [rows[i] for i in range(len(pool)) if not pool.odd[i]]
        full = _profile(job, material, inside, progress, "without odd ones")
    parts = _parts(job, material, listed, progress)
    with progress.stage("ranges"):
        planner = Planner(target=target, recipe=recipe, observer=job.observer)
        enough = sufficiency(planner, graph, parts, full)
    selection = Selection(
        data=material.data.name,
        method=choice.method,
        seed=job.seed,
        wanted=choice.count,
        pool=pool,
        chosen=chosen,
        enough=enough,
        unreadable=tuple(sorted(dict(material.bad).items())),
    )
    with progress.stage("write"):
        write_text(choice.out.with_suffix(".csv"), selection_csv(selection))
        selection_figure(
            pool.points,
            chosen.tolist(),
            np.flatnonzero(pool.copy_of >= 0).tolist(),
            selection.odd,
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
    """Refuse to draw the figure among the pictures: it would be one of them from then on."""
    folder = Path(data).resolve()
    if folder.is_dir() and folder in out.resolve().parents:
        raise InputError(
            f"--out {out}: it must not lie among the samples, for its figure would be taken for one, "
            f"and --data is '{data}'. Give another folder."
        )


def _profile(
    job: Job,
    material: Material,
    indices: Sequence[int],
    progress: Progress,
    what: str,
    watch: FeatureHook | None = None,
) -> Profile:
    """Profile some samples; those that cannot be read are noted in the material."""
    with progress.stage("profile"):
        bad = material.bad if watch is not None else []
        allowed = max_bad_of(job, material, indices) if watch is not None else 1.0
        stream: Iterable[Batch] = batches(
            material.data, indices, material.batch, bad=bad, max_bad=allowed
        )
        return profile(
            material.graph,
            progress.bar(stream, -(-len(indices) // material.batch), what),
            preprocess=job.preprocess.fingerprint,
            threads=job.threads,
            witness=watch,
        )


def _parts(
    job: Job, material: Material, listed: Sequence[int], progress: Progress
) -> list[Profile]:
    """Return the profiles of the first 8, 16, ... of the list, and of all of it."""
    profiles: list[Profile] = []
    before = 0
    for end in [*schedule(2 * len(listed) - 1), len(listed)]:
        part = _profile(job, material, listed[before:end], progress, f"first {end}")
        profiles.append(profiles[-1] + part if profiles else part)
        before = end
    return profiles
