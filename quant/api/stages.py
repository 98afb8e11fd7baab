"""The functions of the API: the main job and its stages, each with the names of the command line.

Nothing heavy is imported before one of them is called.
"""

__all__ = ["choose", "export", "merge", "profile", "simulate"]

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from quant.api.call import given_arguments, warn_caller
from quant.api.options import ImageOptions, ModelLike, PathLike

if TYPE_CHECKING:
    import onnx

    from quant.deploy.target_folder import WrittenTarget
    from quant.plan.recipe import Recipe
    from quant.plan.tensor_plans import Plan
    from quant.preprocess.image_to_tensor import Preprocess
    from quant.profile.statistics import Profile


def profile(
    model: ModelLike,
    data: Any,
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    samples: int = 256,
    out: PathLike | None = None,
    example_inputs: Any = None,
    seed: int = 0,
    threads: int = 0,
    max_bad: float | str = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> "Profile":
    """Run the float model once over the samples, and return the statistics of every activation.

    Args:
        model: As for `calibrate`.
        data: As for `calibrate`.
        preprocess: From an image to the input.
        samples: How many samples, at most.
        out: File for the profile, .safetensors; an interrupted profile goes on from there. None
            writes no file.
        example_inputs: For the export of a torch module.
        seed: Of the choice of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing.

    Raises:
        InputError: Something that you can mend.
        UnsupportedError: The model cannot be served.

    Warns:
        UserWarning: A sample was skipped, or the values look like a slip in the preprocessing.
    """
    asked = given_arguments(profile, locals())
    shown = bool(asked.pop("progress"))
    from quant.api.arguments import job_of, path_of
    from quant.common.progress import Progress
    from quant.run.material import open_material
    from quant.run.profile_samples import profile_samples

    path = path_of(asked.pop("out"), "out") if out is not None else asked.pop("out")
    with tempfile.TemporaryDirectory(prefix="quant-") as scratch:
        path = path or Path(scratch, "profile.safetensors")
        job = job_of({**asked, "out": path.parent, "holdout": 0})
        shows = Progress(quiet=not shown)
        material = open_material(job, shows)
        found = profile_samples(job, material, shows, path).whole
    for key, reason in material.bad:
        shows.warn(f"sample '{key}' was skipped: {reason}")
    warn_caller(shows.warnings)
    return found


def merge(*profiles: "Profile | PathLike", out: PathLike | None = None) -> "Profile":
    """Add profiles of one model over disjoint samples: the bits of one profile over all of them.

    Args:
        *profiles: Profiles, or the paths of their files.
        out: File for the sum; None writes none.

    Raises:
        InputError: They are of different models or preprocessings, or two are of the same samples.
    """
    from quant.api.arguments import path_of
    from quant.api.scratch import profile_of
    from quant.common.errors import InputError
    from quant.profile.file import save_profile

    if not profiles:
        raise InputError("merge: it needs profiles, saw none. Give one or more.")
    total, _ = profile_of(profiles[0], "profile 1")
    for number, one in enumerate(profiles[1:], 2):
        other, place = profile_of(one, f"profile {number}")
        mine = total.provenance
        other.must_match(
            place=place, graph=mine.graph, preprocess=mine.preprocess, settings=mine.settings
        )
        if (other.provenance.data, other.provenance.samples) == (mine.data, mine.samples):
            raise InputError(
                f"{place}: it is of the same {mine.samples} samples as what was merged before it, "
                "and they would count twice. Leave it out."
            )
        total = total + other
    if out is not None:
        save_profile(total, path_of(out, "out"))
    return total


def choose(
    model: ModelLike,
    profile: "Profile | PathLike",
    target: str = "onnxruntime",
    *,
    observer: str | None = None,
    recipe: "Recipe | PathLike | Mapping[str, Any] | None" = None,
    out: PathLike | None = None,
    example_inputs: Any = None,
) -> "Plan":
    """Choose every tensor's format, scale and zero point from a profile, with a reason for each.

    Args:
        model: As for `calibrate`.
        profile: Of `profile` or `merge`, or the path of its file.
        target: Name of the target.
        observer: Of activations; None for mse, because there are no samples to measure others on.
        recipe: Rules for layers.
        out: File for the plan, .json; None writes none.
        example_inputs: For the export of a torch module.

    Raises:
        InputError: The profile is of another model, or a name is unknown.
    """
    from quant.api.arguments import model_of, path_of, recipe_in
    from quant.api.scratch import profile_of
    from quant.choose.planner import Planner
    from quant.load.open_graph import open_graph
    from quant.observers import OBSERVERS
    from quant.plan.file import save_plan
    from quant.plan.recipe import NOTHING, load_recipe
    from quant.target.table import TARGETS

    source, table = recipe_in(recipe), TARGETS[target]
    rules = load_recipe(source, list(OBSERVERS)) if source is not None else NOTHING
    seen, place = profile_of(profile, "profile")
    _, graph = open_graph(model_of(model, example_inputs))
    seen.must_match(place=place, graph=graph.fingerprint)
    plan = Planner(target=table, recipe=rules, observer=observer).plan(graph, seen)
    if out is not None:
        save_plan(plan, path_of(out, "out"))
    return plan


def simulate(
    model: ModelLike,
    plan: "Plan | PathLike",
    *,
    out: PathLike | None = None,
    example_inputs: Any = None,
) -> "onnx.ModelProto":
    """Return the graph that computes in ONNX Runtime what the plan's target will compute.

    Args:
        model: As for `calibrate`.
        plan: Of `choose`, or the path of a plan.json; a run's plan is given by its path, because
            the graph with fitted weights lies beside it.
        out: File for the graph, .onnx; None writes none.
        example_inputs: For the export of a torch module.

    Raises:
        InputError: The plan is of another model.
    """
    import onnx_ir as ir

    from quant.api.arguments import path_of
    from quant.api.scratch import plan_file, planned
    from quant.graph.prepared_graph import save_model
    from quant.simulate.open_plan import simulation_of
    from quant.target.table import TARGETS

    with plan_file(plan) as path:
        chosen, graph = planned(path, model, example_inputs)
    simulated = simulation_of(graph, chosen, TARGETS[chosen.target])
    if out is not None:
        save_model(simulated, path_of(out, "out"))
    return ir.to_proto(simulated)


def export(
    model: ModelLike,
    plan: "Plan | PathLike",
    out: PathLike,
    *,
    profile: "Profile | PathLike | None" = None,
    data: Any = None,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    samples: int = 256,
    seed: int = 0,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    **image: Unpack[ImageOptions],
) -> "WrittenTarget":
    """Write all that a target needs from a plan: graphs, scripts, DEPLOY.md, check.json.

    Args:
        model: As for `calibrate`.
        plan: Of `choose`, or the path of a plan.json, such as a run's.
        out: Folder for the target's files.
        profile: For files that list the range of every tensor; None leaves the ranges out.
        data: For a vendor's tool that reads pictures itself (NNIE); None where there is none.
        preprocess: From an image to the input.
        samples: As it was profiled.
        seed: As it was profiled.
        example_inputs: For the export of a torch module.
        versions: By target the version or the chip, {"tensorrt": "8.6.1"}.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        **image: Single fields of the preprocessing.

    Returns:
        `exported.files` relative to the folder, and `findings` of the target's check.

    Raises:
        InputError: The plan or the profile is of another model, or the target refuses a layer.
    """
    asked = given_arguments(export, locals())
    from quant.api.arguments import job_of, path_of
    from quant.api.scratch import plan_file, profile_file
    from quant.run.export import export_plan

    job = job_of(
        {
            name: value if name != "data" else "" if value is None else value
            for name, value in asked.items()
            if name not in ("plan", "profile")
        }
        | {"holdout": 0, "out": path_of(out, "out")}
    )
    with plan_file(plan) as plan_path, profile_file(profile) as profile_path:
        return export_plan(plan_path, profile_path, job)
