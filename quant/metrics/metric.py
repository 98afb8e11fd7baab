"""Metric: one judgement of a network's outputs, with its unit and its direction.

To add one: a file in this folder that calls `METRICS.add("name")`, a package of your own with an
entry point in the group `quant.metrics`, or `--metric module:function` on the command line.
"""

__all__ = ["METRICS", "Metric", "find_metric", "score_batch"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quant.common.errors import InputError
from quant.common.named_object import named_object
from quant.common.registry import Registry

Array = NDArray[Any]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One judgement of a network's outputs.

    Attributes:
        name: The name on the command line.
        unit: What the mean is in.
        better: Which direction is good.
        score: `(outputs by name, each [samples, ...]; labels int64 [samples])` to float64
            `[samples]`, one number for each sample; the metric is their mean over all samples. With
            `part` it gives a mapping of such arrays.
        part: Which array of the mapping that `score` gives; "" where it gives the array itself.
            Metrics that share `score` share its work: it is called once for a batch.
        against_float: The second argument of `score` is not labels, which the metric does without,
            but the float network's outputs by name.
        about: What it measures, in one line, for `quant list metrics`.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    score: Callable[[Mapping[str, Array], Any], Any]
    part: str = ""
    against_float: bool = False
    about: str = ""

    def scores(self, outputs: Mapping[str, Array], reference: Any) -> Scores:
        """Return the score of each sample of a batch, float64 `[samples]`.

        Args:
            outputs: By name, each `[samples, ...]`.
            reference: Labels, or with `against_float` the float network's outputs by name.

        Raises:
            ValueError: The outputs or labels are not of the kind that the metric judges.
        """
        result = self.score(outputs, reference)
        return np.asarray(result[self.part] if self.part else result, np.float64)


METRICS: Registry[Metric] = Registry("metric", "quant.metrics")


def score_batch(
    metrics: Sequence[Metric],
    outputs: Mapping[str, Array],
    float_outputs: Mapping[str, Array],
    labels: Array | None,
    count: int,
) -> dict[str, Scores]:
    """Return the scores of one batch by metric name, each float64 `[samples]`.

    A metric that needs labels is left out where `labels` is None.

    Args:
        metrics: Those to judge by; metrics that share `score` call it once.
        outputs: The outputs of the network that is judged, by name, each `[samples, ...]`.
        float_outputs: The float network's, by name.
        labels: int64 `[samples]`, or None.
        count: The number of samples.

    Raises:
        InputError: A metric cannot judge these outputs, or gives not one number a sample.
    """
    results: dict[Any, Any] = {}
    scores: dict[str, Scores] = {}
    for metric in metrics:
        if labels is None and not metric.against_float:
            continue
        try:
            if metric.score not in results:
                reference = float_outputs if metric.against_float else labels
                results[metric.score] = metric.score(outputs, reference)
            result = results[metric.score]
            values = np.asarray(result[metric.part] if metric.part else result, np.float64)
        except Exception as error:
            reason = (
                str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            )
            raise InputError(
                f"metric '{metric.name}': it cannot judge outputs of the shapes "
                f"{[o.shape for o in outputs.values()]}: {reason}. "
                f"{'Choose another --metric' if metric.against_float else 'Check --labels, or choose another --metric'}."
            ) from error
        if values.shape != (count,):
            raise InputError(
                f"metric '{metric.name}': it must give one number for each of the {count} "
                f"samples, saw the shape {values.shape}. Return an array of that length."
            )
        scores[metric.name] = values
    return scores


def find_metric(name: str) -> Metric:
    """Return a registered metric, or a user's `module:function`.

    The function gets the outputs by name, each `[samples, ...]`, and the labels, int64 `[samples]`,
    and returns one number for each sample; higher is better.

    Raises:
        InputError: Unknown, or the function cannot be imported.
    """
    if ":" not in name:
        return METRICS[name]
    function = named_object(name, f"--metric {name}")
    return Metric(name=name, unit="", better="higher", score=function)
