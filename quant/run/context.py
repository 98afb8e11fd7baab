"""What every stage of a run works with: the job, the graph and samples, and the float session."""

__all__ = ["RunContext", "open_run"]

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from quant.calibration import Batch, batches
from quant.calibration.profiling.run_profile import profile
from quant.choose.planner import node_types
from quant.common.progress import Progress
from quant.compare.comparison import compare
from quant.deploy.fallback import refused_layers, wanted_floats, with_fallback
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session
from quant.job.settings import Job
from quant.metrics.metric import Metric, find_metric
from quant.observers import OBSERVERS
from quant.plan.recipe import NOTHING, Recipe, load_recipe
from quant.profile.statistics import Profile
from quant.run.material import Material, deployment_of, open_material
from quant.run.profile_samples import max_bad_of
from quant.target.deployment import Deployment
from quant.target.table import TARGETS, Target


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """An opened run: everything in it has been read and checked, and nothing has been written.

    Attributes:
        job: What was asked.
        progress: Shows the stages and keeps the warnings.
        material: The prepared graph and the samples.
        targets: The tables, in the order in which they were asked for.
        recipes: By target name the user's rules, and rules that keep refused layers float.
        metrics: What the outputs are judged by.
        deployment: What the writers of targets are told, without a profile yet.
        float_session: ONNX Runtime session of the prepared graph.
    """

    job: Job
    progress: Progress
    material: Material
    targets: tuple[Target, ...]
    recipes: dict[str, Recipe]
    metrics: tuple[Metric, ...]
    deployment: Deployment
    float_session: Any = field(repr=False)

    @property
    def graph(self) -> Graph:
        """The prepared graph."""
        return self.material.graph

    def batches(self, indices: Sequence[int]) -> Iterator[Batch]:
        """Yield the samples at `indices` in batches; unreadable ones are noted in the material.

        Raises:
            InputError: More than `--max-bad` of all samples are unreadable.
        """
        material = self.material
        max_bad = max_bad_of(self.job, material, indices)
        yield from batches(
            material.data, indices, material.batch, bad=material.bad, max_bad=max_bad
        )

    def profile_of(self, graph: Graph, samples: Iterable[Batch]) -> Profile:
        """Return the profile of an edited graph on some batches."""
        fingerprint = self.job.preprocess.fingerprint
        return profile(graph, samples, preprocess=fingerprint, threads=self.job.threads)


def open_run(job: Job, progress: Progress) -> RunContext:
    """Read the model, the data, the recipe and one sample; refuse here what can be refused.

    Raises:
        InputError: A name is unknown, a file cannot be read, a rule matches nothing, a target
            refuses a layer, or a metric cannot judge the outputs.
        UnsupportedError: The model cannot be served.
    """
    targets = tuple(TARGETS[name] for name in dict.fromkeys(job.targets))
    if job.observer is not None:
        _ = OBSERVERS[job.observer]  # an unknown name must speak before the work, not after it
    recipe = load_recipe(job.recipe, list(OBSERVERS)) if job.recipe else NOTHING
    metrics = tuple(find_metric(name) for name in job.metrics)
    material = open_material(job, progress)
    recipe.check(node_types(material.graph))
    deployment = deployment_of(job, material=material)
    context = RunContext(
        job=job,
        progress=progress,
        material=material,
        targets=targets,
        recipes={t.name: _with_refused(material.graph, t, recipe, deployment) for t in targets},
        metrics=metrics,
        deployment=deployment,
        float_session=open_session(material.graph.model, threads=job.threads),
    )
    if first := list(context.batches(material.calibrated[:1])):
        compare(context.float_session, {}, first, metrics)
    return context


def _with_refused(graph: Graph, target: Target, recipe: Recipe, deployment: Deployment) -> Recipe:
    """Return a target's rules, with one for each layer that it refuses and that may stay float."""
    floats = wanted_floats(graph, target, recipe)
    return with_fallback(recipe, refused_layers(graph, target, deployment, floats), target)
