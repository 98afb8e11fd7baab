"""Functions that judge: a model or an export for a target, two models, a run against its limits."""

__all__ = ["check", "compare", "gate"]

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from quant.api.call import given_arguments, warn_caller
from quant.api.options import ImageOptions, Labels, ModelLike, PathLike
from quant.api.run import Run

if TYPE_CHECKING:
    import onnx

    from quant.compare.comparison import Comparison
    from quant.gate.limits import Verdict
    from quant.preprocess.image_to_tensor import Preprocess
    from quant.target.finding import Finding


def check(
    model: ModelLike,
    targets: str | Sequence[str] = ("onnxruntime",),
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    example_inputs: Any = None,
    versions: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    **image: Unpack[ImageOptions],
) -> "dict[str, list[Finding]]":
    """Return what targets refuse or do badly: in a model before, or in an export after.

    Args:
        model: A float model as for `calibrate`; or the path of an export's folder or of one file of
            it; or a quantized `onnx.ModelProto`.
        targets: Names of targets.
        preprocess: From an image to the input.
        example_inputs: For the export of a torch module.
        versions: By target the version or the chip.
        allow_fallback: Layers that a chip cannot take stay float, or are cut to the CPU.
        **image: Single fields of the preprocessing.

    Returns:
        By target its findings; `quant.target.finding.errors` keeps those that the target refuses.

    Raises:
        InputError: The model cannot be read, or a target cannot check files of its kind.
    """
    given_arguments(check, locals())
    from quant.api.arguments import model_of, names_of, preprocess_of
    from quant.load.given_model import GivenModel
    from quant.run.export import check_file
    from quant.target.deployment import Deployment
    from quant.target.table import checked_versions

    deployment = Deployment(
        preprocess=preprocess_of(preprocess, image),
        versions=checked_versions(versions or {}),
        allow_fallback=allow_fallback,
    )
    source = model_of(model, example_inputs)
    names = names_of(targets, "targets")
    given = source if isinstance(source, GivenModel) else Path(source)
    return {name: check_file(given, name, deployment) for name in dict.fromkeys(names)}


def compare(
    reference: ModelLike,
    candidate: "PathLike | onnx.ModelProto",
    data: Any,
    *,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    samples: int | None = None,
    runtime: str = "onnxruntime",
    example_inputs: Any = None,
    seed: int = 0,
    threads: int = 0,
    max_bad: float = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> "Comparison":
    """Run a float model and a quantized one on the same samples, and return how they differ.

    Args:
        reference: The float model, as for `calibrate`.
        candidate: The quantized one, whoever made it: ONNX, or OpenVINO's .xml.
        data: As for `calibrate`.
        preprocess: From an image to the input.
        labels: CSV file, "folders", or the classes of samples in memory.
        metrics: Judged for both where there are labels.
        samples: How many at most; None for all.
        runtime: Of the candidate: "onnxruntime", "openvino", or another that a target names.
        example_inputs: For the export of a torch module.
        seed: Of the choice and the order of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing.

    Returns:
        `sqnr_db` and `outputs`, `agreement`, `scores` and `float_scores`, and milliseconds a sample.

    Raises:
        InputError: A model or the data cannot be read, or they do not fit each other.
    """
    asked = given_arguments(compare, locals())
    shown = bool(asked.pop("progress"))
    from quant.api.scratch import two_models
    from quant.common.progress import Progress
    from quant.gate.two_models import OpenModels

    with two_models(asked) as models:
        opened = OpenModels.open(models, Progress(quiet=not shown))
        opened.must_fit()
        found = opened.comparison(0, len(opened.order))
    warn_caller(f"sample '{key}' was skipped: {reason}" for key, reason in opened.bad)
    return found


def gate(
    run: "Run | PathLike | None" = None,
    *,
    reference: ModelLike | None = None,
    candidate: "PathLike | onnx.ModelProto | None" = None,
    data: Any = None,
    config: PathLike | None = None,
    max_drop: float | str | None = None,
    min_agreement: float | str | None = None,
    min_sqnr: float | None = None,
    confidence: float | None = None,
    undecided: str | None = None,
    baseline: PathLike | None = None,
    preprocess: "Preprocess | PathLike | Mapping[str, Any] | None" = None,
    labels: Labels = None,
    metrics: str | Sequence[str | Callable[..., Any]] = ("top1",),
    samples: int | None = None,
    calibrated: int = 0,
    sequential: bool = False,
    runtime: str = "onnxruntime",
    example_inputs: Any = None,
    seed: int = 0,
    threads: int = 0,
    max_bad: float = 0.05,
    progress: bool = True,
    **image: Unpack[ImageOptions],
) -> "Verdict":
    """Decide whether a quantized model is good enough: of a run, or of two models and data.

    Args:
        run: A `Run`, or its folder; or None with `reference`, `candidate` and `data`.
        reference: The float model.
        candidate: The quantized model.
        data: Samples to judge them on.
        config: TOML file of limits; None for gate.toml or pyproject.toml here, where no limit is
            named.
        max_drop: Most accuracy that may be lost, 0.01 or "1%".
        min_agreement: Least share of samples with float's answer, 0.98 or "98%".
        min_sqnr: Least SQNR at the worst output, in dB.
        confidence: Of each verdict; None for the file's, or 0.95.
        undecided: What an undecided limit counts as, "fail" or "pass"; None for the file's, or
            "fail".
        baseline: File of numbers to hold a run against.
        preprocess: From an image to the input, for two models.
        labels: CSV file, "folders", or the classes of samples in memory.
        metrics: Judged for two models.
        samples: How many at most; None for all.
        calibrated: How many of the data calibrated with this seed; they are left out.
        sequential: Stop as soon as the answer is certain.
        runtime: Of the candidate: "onnxruntime", "openvino", or another that a target names.
        example_inputs: For the export of a torch module.
        seed: Of the choice and the order of samples.
        threads: Threads inside one operator; 0 for all cores.
        max_bad: Greatest share of samples that may be unreadable.
        progress: Whether to show progress bars.
        **image: Single fields of the preprocessing.

    Returns:
        `passed`, `outcome`, and `results` with the number and the interval of each limit.

    Raises:
        InputError: There is neither a run nor two models, no limit, or one is wrong.
    """
    asked = given_arguments(gate, locals())
    shown = bool(asked.pop("progress"))
    from quant.api.arguments import path_of, share_of
    from quant.api.scratch import two_models
    from quant.common.errors import InputError
    from quant.common.progress import Progress
    from quant.gate.compare_models import gate_models
    from quant.gate.config_file import check_values
    from quant.gate.run_gate import chosen_gate, gate_run, limits_of_flags
    from quant.run.report import write_verdict

    of_models = [name for name in ("reference", "candidate", "data") if asked[name] is not None]
    if len(of_models) != (3 if run is None else 0):
        given = ", ".join([*([] if run is None else ["run"]), *of_models]) or "none of them"
        raise InputError(
            f"gate: it takes a run, or reference, candidate and data, saw {given}. Give one or the "
            "other."
        )
    shares = {"max_drop": max_drop, "min_agreement": min_agreement}
    quick: dict[str, float | None] = {
        name: None if value is None else share_of(value, name) for name, value in shares.items()
    }
    changes = {"confidence": confidence, "undecided": undecided}
    check_values({k: v for k, v in changes.items() if v is not None}, "gate")
    limits = chosen_gate(
        path_of(config, "config") if config is not None else None,
        limits_of_flags({**quick, "min_sqnr": min_sqnr}),
        changes,
        needed=baseline is None,
    )
    if run is not None:
        folder = run.folder if isinstance(run, Run) else path_of(run, "run")
        verdict = gate_run(folder, limits, path_of(baseline, "baseline") if baseline else None)
        write_verdict(folder, verdict)
        return verdict
    names = (*of_models, "preprocess", "labels", "metrics", "samples", "calibrated", "sequential")
    names += ("runtime", "example_inputs", "seed", "threads", "max_bad", "image")
    with two_models({name: asked[name] for name in names}) as models:
        return gate_models(models, limits, Progress(quiet=not shown))
