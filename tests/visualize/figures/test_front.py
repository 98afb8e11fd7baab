"""The picture of a search: figure, page data and markdown."""

import copy
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from quant.results.saved_run import load_run
from quant.results.saved_search import SavedSearch, load_search
from quant.run.report import write_overview
from quant.visualize.figures.figure_file import drawing, save_figure
from quant.visualize.figures.pareto import front_panels
from quant.visualize.report.data import report_data
from quant.visualize.report.html import report_html
from quant.visualize.report.markdown import report_markdown
from tests import models
from tests.runs import HOSTILE, hostile, make_run
from tests.searches import edited, make_searched


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched(tmp_path_factory.mktemp("run"), hostile(models.depthwise_net()))


def searches(run: Path) -> dict[str, SavedSearch]:
    return {t.name: t.search for t in load_run(run).targets if t.search is not None}


def words(figure: Figure) -> list[tuple[str, Any]]:
    """Return each text that is drawn, with its box in pixels."""
    pen = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(pen)
    ticks = {
        tick: (axes, side)
        for axes in figure.axes
        for side, labels in enumerate((axes.get_xticklabels(), axes.get_yticklabels()))
        for tick in labels
    }
    found = []
    for text in figure.findobj(Text):
        box = text.get_window_extent(pen)
        if text in ticks:  # those outside the limits are kept, and not drawn
            axes, side = ticks[text]
            low, high = axes.get_window_extent(pen).get_points()[:, side]
            if not low - 1 <= (box.min[side] + box.max[side]) / 2 <= high + 1:
                continue
        if text.get_visible() and text.get_text().strip():
            found.append((text.get_text(), box))
    return found


def random_search(seed: int, base: SavedSearch, path: Path) -> SavedSearch:
    """Return a search with seeded points: winner, rivals and limits anywhere."""
    rng = np.random.default_rng(seed)
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    costs = np.sort(rng.uniform(1, 20, 24))
    front = np.sort(rng.uniform(15, 60, 24))
    made = []
    for n, (cost, db) in enumerate(zip(costs.tolist(), front.tolist(), strict=True), 1):
        one = copy.deepcopy(told["points"][0])
        rivals = n % 5 == 0
        chosen = n == 1 + seed * 5 % 24
        assignment = [n % 2] * len(base.groups) if n in (1, 13, 24) else one["assignment"]
        if n not in (1, 13, 24):
            assignment = [0, *[1] * (len(base.groups) - 1)]
        measured = db + rng.normal() if rivals or chosen else None
        one |= {"point": n, "source": "greedy" if rivals else "front", "chosen": chosen}
        one |= {"assignment": assignment, told["unit"].lower() + "s": cost, "gops": cost}
        one |= {"predicted_sqnr_db": db, "measured_sqnr_db": measured}
        one |= {"measured_drop": None if measured is None else float(rng.uniform(-0.01, 0.03))}
        made.append(one)
    told |= {"points": made, "min_sqnr_db": float(rng.uniform(20, 50)), "max_drop": 0.01}
    told |= {"most_cost": float(rng.uniform(5, 22))}
    other = path.parent / f"random{seed}.json"
    other.write_text(json.dumps(told), encoding="utf-8")
    found = load_search(other)
    assert found is not None
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_text_of_the_figure_stands_on_another(run: Path, tmp_path: Path, count: int) -> None:
    """Winner, uniform plans and limits lie where the search put them, often close together."""
    path = tmp_path / "search.json"
    path.write_bytes((run / "onnxruntime" / "search" / "search.json").read_bytes())
    base = load_search(path)
    assert base is not None
    some = {
        f"target {i} " + "long " * 20: random_search(3 * count + i, base, path)
        for i in range(count)
    }
    with drawing():
        figure = front_panels(some, "a title " * 20)
        drawn = words(figure)
    whole = figure.bbox

    assert sum("budget" in text for text, _ in drawn) >= count
    for text, box in drawn:
        assert box.x0 >= whole.x0 - 1, text
        assert box.x1 <= whole.x1 + 1, text
    for (a, one), (b, other) in itertools.combinations(drawn, 2):
        over = one.padded(-1).overlaps(other.padded(-1))
        assert not over, f"{a!r} stands on {b!r}"


def test_the_figure_is_written_with_its_numbers(tmp_path: Path) -> None:
    """PNG, SVG and CSV beside the others; equal runs give equal bytes."""
    folder = make_searched(tmp_path, hostile(models.conv_relu_net()), targets=("onnxruntime",))
    write_overview(folder)
    lines = (folder / "figures" / "pareto.csv").read_text(encoding="utf-8").splitlines()
    found = searches(folder)
    with drawing():
        for copy_of in ("a.png", "b.png"):
            title = f"{load_run(folder).graph.name}: what accuracy costs in mixed precision"
            save_figure(front_panels(found, title), tmp_path / copy_of)

    assert lines[0] == (
        "target,point,source,chosen,axis,latency_ms,size_mb,gops,predicted_sqnr_db,"
        "measured_sqnr_db,measured_drop,layers"
    )
    assert len(lines) == 1 + sum(len(s.points) for s in found.values())
    for kind in (".png", ".svg"):
        wanted = (folder / "figures" / f"pareto{kind}").read_bytes()
        assert (tmp_path / f"a{kind}").read_bytes() == wanted
        assert (tmp_path / f"b{kind}").read_bytes() == wanted


def test_a_limited_drop_has_axes_of_its_own(run: Path, tmp_path: Path) -> None:
    """Points of a metric cannot be read off decibels."""
    path = tmp_path / "search.json"
    path.write_bytes((run / "tensorrt" / "search" / "search.json").read_bytes())
    plain = load_search(path)
    limited = load_search(edited(path, lambda told: told.update(max_drop=0.01)))
    assert plain is not None
    assert limited is not None
    with drawing():
        assert len(front_panels({"a": plain}, "t").axes) == 1
        axes = front_panels({"a": plain, "b": limited}, "t").axes
    assert len(axes) == 3
    assert axes[2].get_xlim() == axes[1].get_xlim()


def test_a_plan_without_error_is_drawn_at_the_top(run: Path, tmp_path: Path) -> None:
    """Infinity has no place on an axis, and leaving it out would hide the best plan."""
    path = tmp_path / "search.json"
    path.write_bytes((run / "tensorrt" / "search" / "search.json").read_bytes())
    edited(path, lambda told: told["points"][-1].update(predicted_sqnr_db=None))
    edited(path, lambda told: told["points"][-1].update(measured_sqnr_db=999.0))
    found = load_search(path)
    assert found is not None
    with drawing():
        (axes,) = front_panels({"a": found}, "t").axes
    assert "no error" in [t.get_text() for t in axes.texts]
    assert axes.get_ylim()[1] < 100


def test_a_run_without_a_search_says_nothing_of_it(tmp_path: Path) -> None:
    """Its page and its data are as they were before there was a search."""
    folder = make_run(tmp_path, models.gemm_net(), targets=("onnxruntime",))
    page = report_html(load_run(folder))

    assert 'id="mixed"' not in page
    assert "drawFront" not in page
    assert "search" not in report_data(load_run(folder))["targets"][0]
    assert "mixed precision" not in report_markdown(load_run(folder))


def test_the_page_has_every_point_with_its_plan_and_recipe(run: Path) -> None:
    """What it shows is in its data: nothing else is asked for."""
    saved = load_run(run)
    for target, told in zip(saved.targets, report_data(saved)["targets"], strict=True):
        search, shown = target.search, told["search"]
        assert search is not None
        assert [p["a"] for p in shown["points"]] == [list(p.assignment) for p in search.points]
        for point, one in zip(search.points, shown["points"], strict=True):
            file = one["recipe"].removeprefix("quant calibrate --recipe ")
            assert (run / file).is_file()
            assert one["cost"] == pytest.approx(point.cost, rel=1e-5)
            assert one["predicted"] == pytest.approx(point.predicted_db, rel=1e-5)
            if point.measured_db is None:
                assert one["measured"] is None
            else:
                assert one["measured"] == pytest.approx(point.measured_db, rel=1e-5)
        assert [g["name"] for g in shown["groups"]] == [g.name for g in search.groups]
        assert all(g["at"] >= 0 for g in shown["groups"])
    page = report_html(saved)
    assert page.count('<article class="front"') == 2
    assert '<a href="#mixed">' in page


def test_a_plan_that_is_not_the_winners_is_told(run: Path) -> None:
    """The run of the fixture ships int8 throughout: the page must not say that it ships the winner."""
    told = report_data(load_run(run))["targets"][0]["search"]["other"]
    winner = searches(run)["onnxruntime"].winner
    assert winner is not None
    group = next(g for g, k in enumerate(winner.assignment) if k)
    layers = len(searches(run)["onnxruntime"].groups[group].layers)

    assert told == (
        f"The plan of this run differs from the chosen one in {layers} of 6 layers: it was made later "
        "or with other rules."
    )


def test_the_target_name_cannot_break_out_of_the_command(run: Path, tmp_path: Path) -> None:
    """It is pasted into a shell."""
    from quant.visualize.report.search import search_json

    target = load_run(run).targets[0]
    object.__setattr__(target, "name", "a b;$(id)")
    shown = search_json(target, [])
    assert shown is not None

    assert shown["points"][0]["recipe"].startswith("quant calibrate --recipe 'a b;$(id)/search/")


def test_markdown_has_winner_uniform_plans_and_limit(run: Path) -> None:
    """A reviewer sees what was bought, and what for."""
    text = report_markdown(load_run(run))
    part = text.split("### onnxruntime: mixed precision")[1].split("###")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]

    assert rows[0] == "| plan | cost | SQNR | lost |"
    assert rows[2].startswith("| **5 int8, 1 float32** | 0.004014 Gop | ")
    assert rows[3].startswith("| all int8 | 0.003937 Gop | ")
    assert rows[-1] == "| limit | - | at least 44 dB | - |"
    assert all(line.count("|") == 5 for line in rows)
    assert re.findall(r"(?<!\\)<(?!/?details>|/?summary>)", part) == []
    assert "the measured noise was" in part
    assert HOSTILE[0] not in part
