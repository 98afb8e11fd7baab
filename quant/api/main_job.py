"""The main job as functions: calibrate, and search for mixed precision."""

__all__ = ["calibrate", "search"]

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from quant.api.call import given_arguments, passive_threads
from quant.api.options import ImageOptions, Labels, ModelLike, PathLike
from quant.api.run import Run

if TYPE_CHECKING:
    from quant.plan.recipe import Recipe
    from quant.preprocess.image_to_tensor import Preprocess


def calibrate(
    model: ModelLike,
    data: Any,
    targets: str | Sequence[str] = ("onnxruntime",),
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    samples: int = 256,
    holdout: int = 256,
    effort: str = "balanced",
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    observer: str | None = None,
    recipe: "Recipe | PathLike | Mapping[str, Any] | None" = None,
    max_drop: float | str | None = None,
    min_sqnr: float | None = None,
    budget: str | Sequence[str] | Mapping[str, str] | None = None,
    out: PathLike | None = None,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    layer_samples: int = 8,
    seed: int = 0,
    threads: int = 0,
    max_bad: float | str = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> Run:
    """Quantize a model for one or more targets, measure what that costs, and write every file.

    It loads and folds the model, profiles every activation on `samples` samples, chooses each
    tensor's format, simulates what each target computes, recovers accuracy as far as `effort` goes,
    measures on up to `holdout` other samples and exports. `docs/api.md` has examples.

    Args:
        model: Path of an ONNX file, "module:factory", `onnx.ModelProto`, or `torch.nn.Module`.
        data: Path of a folder of images, of a list or of an array file; or an array, a dict of
            arrays by input name, a sequence or an iterable of samples or batches (a DataLoader
            among them), or a function that returns one of these. uint8 images are preprocessed;
            tensors go to the model as they are.
        targets: Names of targets.
        preprocess: From an image to the input: a `Preprocess`, its TOML file, or a dict of fields.
        labels: CSV file with file,label; "folders"; or the classes of samples in memory.
        samples: How many samples calibrate.
        holdout: How many others measure, at most.
        effort: "fast", "balanced" or "best".
        metrics: Names, "module:function", or functions that stand at the top of a module.
        observer: Of activations; None for the one that measures best.
        recipe: Rules for layers: a `Recipe`, its TOML file, or a dict as TOML reads it.
        max_drop: Most that the metric may lose, 0.005 or "0.5%"; each layer's precision is searched.
        min_sqnr: Least SQNR at the worst output in dB; likewise.
        budget: "size=60%", several such, or {"latency": "2ms"}; likewise.
        out: Folder of the run; None for quant-out/<name of the model>.
        example_inputs: Tensor or tuple of tensors for the export of a torch module.
        versions: By target the version or the chip, {"tensorrt": "8.6.1"}.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        layer_samples: How many calibration samples the layer table is measured on.
        seed: Of the choice of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing, such as size=(224, 224).

    Returns:
        The run: numbers, paths and a summary. `Run.load(out)` opens it again.

    Raises:
        InputError: Something that you can mend; the message says how.
        UnsupportedError: The model cannot be served.
    """
    return _main_job(calibrate, locals())


def search(
    model: ModelLike,
    data: Any,
    targets: str | Sequence[str] = ("onnxruntime",),
    *,
    max_drop: float | str | None = None,
    min_sqnr: float | None = None,
    budget: str | Sequence[str] | Mapping[str, str] | None = None,
    cost: str | None = None,
    precisions: Sequence[str] | None = None,
    sensitivity: str = "nmse",
    search_samples: int = 64,
    groups: int = 0,
    time_budget: float | None = None,
    device: PathLike | None = None,
    latency: PathLike | None = None,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    samples: int = 256,
    holdout: int = 256,
    effort: str = "balanced",
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    observer: str | None = None,
    recipe: "Recipe | PathLike | Mapping[str, Any] | None" = None,
    out: PathLike | None = None,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    layer_samples: int = 8,
    seed: int = 0,
    threads: int = 0,
    max_bad: float | str = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> Run:
    """Find the cheapest precision of each layer that is accurate enough, and do the main job with it.

    Without a limit it looks for a drop of at most 1 %, or 20 dB where nothing names classes. Where
    no plan keeps the limits, the best one is written and `Run.breaches` says so.

    Args:
        model: As for `calibrate`, and so are all arguments that are not named here.
        data: Samples.
        targets: Names of targets.
        max_drop: Most that the metric may lose, 0.005 or "0.5%".
        min_sqnr: Least SQNR at the worst output, in dB.
        budget: "size=60%", several such, or {"latency": "2ms"}.
        cost: What the Pareto front weighs against the error: "latency", "size" or "ops"; None for
            the budget's, or latency.
        precisions: Among which each layer chooses, the cheapest first; None for the target's.
        sensitivity: "nmse", "kl", or the name of a metric.
        search_samples: Samples that sensitivities are measured on.
        groups: Most groups of layers; 0 for as many as there are.
        time_budget: Seconds after which the best plan so far is kept; None for no end.
        device: Name of a device, or your own device.toml.
        latency: CSV file with layer,precision,milliseconds.
        preprocess: See `calibrate`.
        labels: See `calibrate`.
        samples: See `calibrate`.
        holdout: See `calibrate`.
        effort: See `calibrate`.
        metrics: See `calibrate`.
        observer: See `calibrate`.
        recipe: See `calibrate`.
        out: See `calibrate`.
        example_inputs: See `calibrate`.
        versions: See `calibrate`.
        allow_fallback: See `calibrate`.
        layer_samples: See `calibrate`.
        seed: See `calibrate`.
        threads: See `calibrate`.
        max_bad: See `calibrate`.
        progress: See `calibrate`.
        **image: See `calibrate`.

    Raises:
        InputError: Something that you can mend.
        UnsupportedError: The model cannot be served.
    """
    return _main_job(search, locals())


def _main_job(function: Callable[..., Any], given: dict[str, Any]) -> Run:
    """Run the main job with the arguments of a function; a limit or `search` makes it search."""
    asked = given_arguments(function, given)
    shown = bool(asked.pop("progress"))
    passive_threads()
    from quant.api.arguments import job_of
    from quant.common.progress import Progress
    from quant.run.calibrate import calibrate as run_job

    job = job_of(asked, searching=function is search)
    run_job(job, Progress(quiet=not shown))
    return Run.load(job.out)
