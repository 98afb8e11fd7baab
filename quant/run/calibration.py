"""The calibration of a run: the profile, and the batches on which plans are tried and fitted."""

__all__ = ["Calibration", "calibrate_samples"]

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from quant.calibration import Batch
from quant.calibration.selection.split import shuffled
from quant.compare.float_reference import FloatReference
from quant.improve.ladder import affordable_samples
from quant.improve.pick_observer import TRIAL_BATCHES
from quant.profile.statistics import Profile
from quant.run.context import RunContext
from quant.run.profile_samples import profile_samples
from quant.target.deployment import Deployment


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the calibration samples gave.

    Attributes:
        profile: Of all of them.
        half_profile: Of half of them, drawn at random; None where they are few.
        deployment: The run's, with the profile.
        trial: Float session and the batches on which observers and layers are tried.
        fit: Float session and the batches that steps learn from; empty where none is asked for.
    """

    profile: Profile
    half_profile: Profile | None
    deployment: Deployment
    trial: FloatReference = field(repr=False)
    fit: FloatReference = field(repr=False)


def calibrate_samples(context: RunContext) -> Calibration:
    """Profile the calibration samples and read the batches that plans are tried and fitted on.

    Raises:
        InputError: Too many samples are unreadable, or the profile cannot be written.
    """
    job, material = context.job, context.material
    profiles = profile_samples(job, material, context.progress, halve=True)
    whole = profiles.whole
    with context.progress.stage("data"):
        order = shuffled(material.calibrated, job.seed)
        trial = order[: max(job.layer_samples, TRIAL_BATCHES * material.batch)]
        learns = job.effort != "fast" or job.goal is not None
        fit = order[: affordable_samples(whole) if learns else 0]
        trial_batches, fit_batches = list(context.batches(trial)), list(context.batches(fit))

    def reference(batches: Sequence[Batch]) -> FloatReference:
        return FloatReference(session=context.float_session, batches=batches, threads=job.threads)

    return Calibration(
        profile=whole,
        half_profile=profiles.half,
        deployment=replace(context.deployment, profile=whole),
        trial=reference(trial_batches),
        fit=reference(fit_batches),
    )
