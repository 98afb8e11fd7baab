"""Histograms of what layers read: every element that the profile counted is in the picture."""

from pathlib import Path

import numpy as np

from quant.results.saved_run import load_run
from quant.visualize.figures.histograms import histogram_panels
from tests.models import model, weights
from tests.runs import make_run


def test_values_at_the_clip_of_an_activation_are_drawn(tmp_path: Path) -> None:
    """A ReLU6 leaves many elements at 6, in a bin whose centre lies beyond the last value."""
    net = model(
        """g (float[N,3,16,16] input) => (float[N,4,16,16] output) {
            low = Constant<value_float=0.0>()
            high = Constant<value_float=0.5>()
            [first] a = Conv<pads=[1,1,1,1]>(input, w1)
            [clip] b = Clip(a, low, high)
            [second] output = Conv<pads=[1,1,1,1]>(b, w2)
        }""",
        weights(0, w1=(4, 3, 3, 3), w2=(4, 4, 3, 3)),
    )
    target = load_run(make_run(tmp_path / "run", net)).targets[0]
    layer = target.analysis.layers["second"]
    figure = histogram_panels(target, [layer], "inputs")
    bars = [patch for axes in figure.axes for patch in axes.patches]
    heights = np.concatenate([10.0 ** patch.get_data().values for patch in bars])  # type: ignore[attr-defined]
    counted = target.profile.tensors[layer.inputs[0].tensor].bins.sum()

    assert np.rint(heights[heights >= 1]).sum() == counted
