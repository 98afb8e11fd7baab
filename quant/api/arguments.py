"""Arguments of the API as the values that the stages take: a job, a preprocessing, a model, data."""

__all__ = [
    "data_of",
    "job_of",
    "labels_of",
    "metrics_of",
    "model_of",
    "name_of",
    "names_of",
    "path_of",
    "preprocess_of",
    "recipe_in",
    "share_of",
]

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from quant.calibration.sources.given_data import GivenData
from quant.common.errors import InputError
from quant.common.parse import flag_values, share
from quant.job.search_goal import Budget, SearchGoal, parse_budget
from quant.job.settings import Job, OpensData
from quant.load.given_model import GivenModel
from quant.observers import OBSERVERS
from quant.plan.recipe import NOTHING, Recipe, recipe_of
from quant.preprocess.image_to_tensor import Preprocess

IN_MEMORY = "recipe in memory"
"""What stands for a recipe that no file holds, in messages and in `run.json`."""


def path_of(value: Any, what: str) -> Path:
    """Return a path; raises InputError for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{what}: it is a path, saw '{type(value).__name__}'. Give a path.")
    return Path(value)


def names_of(value: Any, what: str) -> tuple[str, ...]:
    """Return one name or several as a tuple; raises InputError for anything else."""
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{what}: it is a name or a list of names, saw {value!r}. Give one.")
    return names


def model_of(model: Any, example_inputs: Any = None) -> str | GivenModel:
    """Return a model's path as text, or a model in memory.

    Raises:
        InputError: It is of another kind.
    """
    if isinstance(model, str | os.PathLike):
        if example_inputs is not None:
            raise InputError(
                "example_inputs: they are for a torch.nn.Module, and this model is a path. Leave "
                "them out."
            )
        return os.fspath(model) if isinstance(model, str) else str(Path(model))
    return GivenModel(model, example_inputs)


def name_of(model: str | GivenModel) -> str:
    """Return the name of a run's folder where none is given; a graph's name may hold anything."""
    if isinstance(model, GivenModel):
        return re.sub(r"[^\w.-]+", "-", model.name).strip("-.") or "model"
    return Path(model.rsplit(":", 1)[-1]).stem or "model"


def data_of(data: Any, labels: Any = None, most: int | None = None) -> str | OpensData:
    """Return the path of data as text, or samples in memory with their classes.

    Args:
        data: Whatever the user gave.
        labels: Classes for samples in memory; a path is left to `labels_of`.
        most: Samples to take of what can be read only once.

    Raises:
        InputError: Classes in memory stand beside the path of data.
    """
    if data is None:
        raise InputError("data: it is a path or samples in memory, saw None. Give one of these.")
    classes = None if labels is None or isinstance(labels, str | os.PathLike) else labels
    if not isinstance(data, str | os.PathLike):
        return GivenData(data, classes, most)
    if classes is not None:
        raise InputError(
            "labels: classes in memory are for data in memory, and this data is a path. Give a CSV "
            "file with file,label, or 'folders'."
        )
    return data if isinstance(data, str) else str(Path(data))


def _check_numbers(asked: Mapping[str, Any]) -> None:
    """Refuse text where a number is wanted; NumPy's numbers are numbers too.

    Raises:
        InputError: An argument is of a wrong kind.
    """
    whole = ("samples", "holdout", "layer_samples", "seed", "threads")
    for name in (*whole, "min_sqnr"):
        value, kind = asked.get(name), Integral if name in whole else Real
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            what = "a whole number" if name in whole else "a number of dB"
            raise InputError(f"{name}: it is {what}, saw {value!r}. Give one.")


def labels_of(labels: Any) -> str | None:
    """Return the CSV file or "folders", or None where the classes come with the data."""
    return str(labels) if isinstance(labels, str | os.PathLike) else None


def metrics_of(metrics: Any) -> tuple[str, ...]:
    """Return metrics as names; a function must stand at the top of its module, and is named so.

    Raises:
        InputError: A metric is neither a name nor such a function.
    """
    several = [metrics] if isinstance(metrics, str) or callable(metrics) else list(metrics)
    names = []
    for metric in several:
        if isinstance(metric, str):
            names.append(metric)
            continue
        place, name = (getattr(metric, key, "") for key in ("__module__", "__qualname__"))
        if not name or getattr(sys.modules.get(str(place)), name, None) is not metric:
            raise InputError(
                f"metrics: a metric is a name, 'module:function', or a function at the top of a "
                f"module, saw {name or metric!r}. Define it there with def."
            )
        names.append(f"{place}:{name}")
    return tuple(names)


def preprocess_of(preprocess: Any, image: Mapping[str, Any]) -> Preprocess:
    """Return the preprocessing of an object, a TOML file or a mapping, with single fields changed.

    Args:
        preprocess: `Preprocess`, the path of its TOML file, a mapping of its fields, or None.
        image: Fields of `ImageOptions`; they take precedence.

    Raises:
        InputError: A field cannot be read or breaks a rule.
    """
    if preprocess is None or isinstance(preprocess, Preprocess):
        base = preprocess or Preprocess()
    elif isinstance(preprocess, Mapping):
        base = _changed(Preprocess(), preprocess)
    else:
        base = Preprocess.from_toml(path_of(preprocess, "preprocess"))
    return _changed(base, image)


def _changed(base: Preprocess, image: Mapping[str, Any]) -> Preprocess:
    try:
        return replace(base, **flag_values(image))  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(str(error).removeprefix("Preprocess.").removeprefix("--")) from None
    except TypeError as error:
        known = ", ".join(sorted(Preprocess.__dataclass_fields__))
        raise InputError(
            f"preprocess: its fields are {known}, saw {', '.join(sorted(image))}. Mend the name."
        ) from error


def recipe_in(recipe: Any) -> Path | Recipe | None:
    """Return a recipe's path, or a recipe in memory.

    Raises:
        InputError: It is of another kind, or a rule says something that no rule can.
    """
    if recipe is None or isinstance(recipe, Path):
        return recipe
    if isinstance(recipe, Recipe):
        return replace(recipe, path=IN_MEMORY) if recipe.path == NOTHING.path else recipe
    if isinstance(recipe, Mapping):
        return recipe_of(recipe, IN_MEMORY, (), list(OBSERVERS))
    return path_of(recipe, "recipe")


def job_of(asked: Mapping[str, Any], *, searching: bool = False) -> Job:
    """Return the job of the arguments of `calibrate`, `search` or `profile`.

    Args:
        asked: The arguments by name; what is missing takes the job's own default.
        searching: A mixed plan is searched for even where no limit is named.

    Raises:
        InputError: An argument is of a wrong kind or breaks a rule.
    """
    rest = dict(asked)
    _check_numbers(rest)
    model = model_of(rest.pop("model"), rest.pop("example_inputs", None))
    labels, out = rest.pop("labels", None), rest.pop("out", None)
    goal = _goal(rest, searching)
    default = {field.name: field.default for field in fields(Job)}
    samples, holdout = (rest.get(name, default[name]) for name in ("samples", "holdout"))
    if "max_bad" in rest:
        rest["max_bad"] = share_of(rest["max_bad"], "max_bad")
    return Job(
        model=model,
        data=data_of(rest.pop("data"), labels, samples + holdout),
        labels=labels_of(labels),
        preprocess=preprocess_of(rest.pop("preprocess", None), rest.pop("image", {})),
        out=path_of(out, "out") if out is not None else Path("quant-out") / name_of(model),
        targets=names_of(rest.pop("targets", default["targets"]), "targets"),
        metrics=metrics_of(rest.pop("metrics", default["metrics"])),
        recipe=recipe_in(rest.pop("recipe", None)),
        versions=rest.pop("versions", None) or {},
        goal=goal,
        **rest,
    )


GOAL = {
    "min_sqnr": "min_sqnr",
    "cost": "axis",
    "sensitivity": "sensitivity",
    "search_samples": "samples",
    "groups": "groups",
    "time_budget": "seconds",
    "device": "device",
    "latency": "latency",
}
"""Arguments that a search goal takes as they are, and what it calls them."""


def share_of(value: Any, place: str) -> float:
    """Return a share of a number from 0 to 1 or of text as "1%"; 1 and "1" may be 1 % or all.

    Raises:
        InputError: It is neither.
    """
    if isinstance(value, float) and 0 <= value <= 1:
        return value
    return share(str(value), place)


def _goal(rest: dict[str, Any], searching: bool) -> SearchGoal | None:
    """Take what is asked of a search out of the arguments; None where nothing asks for one."""
    drop, budget = rest.pop("max_drop", None), rest.pop("budget", None)
    names = rest.pop("precisions", None) or ()
    given = {GOAL[key]: value for key in GOAL if (value := rest.pop(key, None)) is not None}
    if "latency" in given or "device" in given:
        given |= {k: str(given[k]) for k in ("latency", "device") if k in given}
    goal = SearchGoal(
        max_drop=share_of(drop, "max_drop") if drop is not None else None,
        budgets=_budgets(budget),
        precisions=names_of(names, "precisions") if names else (),
        **given,
    )
    return goal if goal.limited or searching else None


def _budgets(budget: Any) -> tuple[Budget, ...]:
    """Return budgets of "size=60%", of several such texts, or of a mapping {"size": "60%"}."""
    if not budget:
        return ()
    if isinstance(budget, Mapping):
        texts: Iterable[str] = [f"{axis}={most}" for axis, most in budget.items()]
    else:
        texts = names_of(budget, "budget")
    return tuple(one for text in texts for one in parse_budget(text))
