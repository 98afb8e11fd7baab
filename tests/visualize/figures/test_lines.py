"""The figure of the error along the network: whatever is in it lies inside the picture."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from quant.analysis.layer_error import LayerError
from quant.formats.precision import Precision
from quant.visualize.figures.figure_file import drawing
from quant.visualize.figures.lines import error_lines


def row(layer: str) -> LayerError:
    return LayerError(
        layer=layer,
        op="Conv",
        precision=Precision.INT8,
        isolated_sqnr_db=40.0,
        cumulative_sqnr_db=30.0,
        cosine=0.99,
        weight_sqnr_db=40.0,
        saturation=0.0,
        macs=1,
        because="",
    )


@pytest.mark.parametrize("layers", [3, 60])
@pytest.mark.parametrize("targets", [1, 2, 5, 9])
def test_legend_and_title_lie_inside_the_picture(targets: int, layers: int) -> None:
    """A legend that is cut off leaves lines that nobody can tell apart."""
    table = [row(f"/block{i}/Conv") for i in range(layers)]
    with drawing():
        figure = error_lines({f"target{i}": table for i in range(targets)}, "net: error")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (axes,) = figure.axes
        legend = axes.get_legend()
        assert legend is not None
        box = legend.get_window_extent(canvas.get_renderer())
        title = axes._left_title.get_window_extent(canvas.get_renderer())  # type: ignore[attr-defined]

    assert [t.get_text() for t in legend.get_texts()] == [
        *(f"target{i}" for i in range(targets)),
        *("cumulative", "isolated"),
    ]
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= title.y0
    assert title.y1 <= figure.bbox.y1
