"""The report's page and its other formats, read as files."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quant.common.errors import InputError
from quant.graph.session import open_session
from quant.results.saved_run import load_run
from quant.run.report import FORMATS, report_run, write_overview
from quant.visualize.report.data import report_data
from quant.visualize.report.html import report_html
from quant.visualize.report.markdown import report_markdown
from tests import models
from tests.runs import HOSTILE, hostile, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(
        tmp_path_factory.mktemp("run"),
        hostile(models.depthwise_net()),
        settings={"recipe": HOSTILE[0]},
        warnings=list(HOSTILE),
        preprocess={HOSTILE[1]: HOSTILE[2]},
    )


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))


def test_names_make_no_element_and_no_attribute(run: Path) -> None:
    """The elements of a page with hostile names are those of the template."""
    found = Elements(report_html(load_run(run))).found
    tags = [tag for tag, _ in found]

    assert tags.count("script") == 2
    assert "img" not in tags
    assert not any(key.startswith("on") for _, attributes in found for key in attributes)
    assert not any("src" in attributes for _, attributes in found)
    links = [a["href"] for _, a in found if "href" in a]
    assert {link for link in links if link and not link.startswith("#")} == {"data:,"}


def test_the_page_names_no_address(run: Path) -> None:
    """One file, no network: there is nothing it could ask for."""
    text = report_html(load_run(run))
    found = re.findall(r"https?://[^\s\"'<]+", text)

    assert set(found) <= {"http://www.w3.org/2000/svg"}  # a name, which is never fetched
    assert "default-src 'none'" in text


def test_the_data_are_inert_and_whole(run: Path) -> None:
    """They are read by JSON.parse, whatever is in them."""
    text = report_html(load_run(run))
    block = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]

    assert not set("<>&") & set(block)
    data = json.loads(block)
    assert any(HOSTILE[0] in name for name in data["names"])
    assert [t["name"] for t in data["targets"]] == ["onnxruntime", "tensorrt"]


def test_the_page_says_what_was_measured(run: Path) -> None:
    """Its numbers are those of layers.csv and of the analysis."""
    saved = load_run(run)
    data = report_data(saved)
    for target, shown in zip(saved.targets, data["targets"], strict=True):
        for row in target.rows:
            told = shown["rows"][data["names"].index(row.layer)]
            assert told["iso"] is None or told["iso"] == pytest.approx(
                min(row.isolated_sqnr_db, 999), rel=1e-3
            )
            known = target.analysis.layers[row.layer]
            assert told["channels"]["n"] == known.noise.size
            if known.weight is not None:
                assert min(told["weight"]["low"]) == pytest.approx(known.weight.low.min(), rel=0.01)
                assert max(told["weight"]["high"]) == pytest.approx(
                    known.weight.high.max(), rel=0.01
                )
            assert len(told["img"]) == len(target.analysis.images) == 8
        parts = [told["share"] for told in shown["rows"] if told and told["share"] is not None]
        assert sum(parts) == pytest.approx(1.0, abs=0.01)


def test_the_histogram_counts_every_element(run: Path) -> None:
    """Rebinned for the page, and none lost."""
    saved = load_run(run)
    data = report_data(saved)
    one = next(r for r in data["targets"][0]["rows"] if r and r.get("inputs"))["inputs"][0]

    assert sum(one["hist"]["n"]) == int(saved.profile.tensors[one["tensor"]].bins.sum())


def test_three_hundred_layers_stay_under_three_megabytes(tmp_path: Path) -> None:
    """So that a page can be sent and opened."""
    count, width = 60, 96  # a fifth of them, since every layer takes as much
    nodes = "".join(
        f"[some/long/name/of/a/layer/number/{i}/Conv] t{i + 1} = "
        f"Conv <kernel_shape=[1,1]> (t{i}, w{i})\n"
        for i in range(count)
    ).replace("(t0,", "(input,")
    text = f"g (float[N,3,4,4] input) => (float[N,{width},4,4] t{count}) {{\n{nodes}}}"
    rng = np.random.default_rng(0)
    held = {
        f"w{i}": models.normal(rng, width, width if i else 3, 1, 1) / np.float32(1.42)
        for i in range(count)
    }
    text = re.sub(r"\[(some[^\]]*)\]", lambda m: f'["{m[1]}"]', text)
    proto = models.model(re.sub(r'\["[^"]*"\] ', "", text), held)
    for number, node in enumerate(proto.graph.node):
        node.name = f"some/long/name/of/a/layer/number/{number}/Conv"
    folder = make_run(tmp_path / "run", proto, targets=("onnxruntime",))

    assert 5 * len(report_html(load_run(folder)).encode()) < 3_000_000


@pytest.mark.parametrize("form", FORMATS[1:])
def test_the_same_run_gives_the_same_bytes_in_every_format(
    run: Path, form: str, tmp_path: Path
) -> None:
    """A report in version control changes only where the run did."""
    outs = [tmp_path / "a", tmp_path / "b"]
    made = [report_run(run, form, out) for out in outs]

    assert [p.read_bytes() for p in made[0]] == [p.read_bytes() for p in made[1]]


def test_figures_come_as_png_svg_and_csv(tmp_path: Path) -> None:
    """Whatever a person does next with them; equal runs give equal bytes, also of the page."""
    from xml.etree import ElementTree

    run = make_run(tmp_path, hostile(models.conv_relu_net()), targets=("onnxruntime",))
    write_overview(run)
    first = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    write_overview(run)
    found = sorted(p.relative_to(run / "figures") for p in (run / "figures").rglob("*.png"))
    names = ["accuracy", "error", "heatmap"]
    names += [
        f"{t}/{n}"
        for t in ("onnxruntime",)
        for n in ("channels", "histograms", "images", "weights")
    ]

    assert [str(p.with_suffix("")) for p in found] == sorted(names)
    assert first == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    for path in found:
        whole = run / "figures" / path
        assert whole.with_suffix(".csv").read_text(encoding="utf-8").count("\n") > 1
        root = ElementTree.parse(whole.with_suffix(".svg")).getroot()
        assert not [e for e in root.iter() if e.tag.endswith("script")]


def test_markdown_holds_no_markup_of_a_stranger(run: Path) -> None:
    """A comment in a pull request is rendered by somebody else's machine."""
    text = report_markdown(load_run(run))
    outside = re.sub(r"(`{3,})toml.*?\1", "", text, flags=re.DOTALL)

    assert re.findall(r"(?<!\\)<(?!/?details>|/?summary>)", outside) == []
    assert "| onnxruntime |" in text
    assert all(line.count("|") - line.count("\\|") in (0, 5) for line in outside.splitlines())


def test_model_explorer_data_are_by_node_name(run: Path, tmp_path: Path) -> None:
    """Its ONNX adapter takes the node's name for the id; a lossless layer has a number too."""
    saved = load_run(run)
    (path, _) = report_run(run, "model-explorer", tmp_path)
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    assert set(data["results"]) == {
        r.layer for r in saved.targets[0].rows if not np.isnan(r.isolated_sqnr_db)
    }
    for row in saved.targets[0].rows:
        wanted = min(row.isolated_sqnr_db, 200.0)
        assert data["results"][row.layer]["value"] == pytest.approx(wanted, abs=0.01)
    ends = [x["value"] for x in data["thresholds"]]
    assert ends == sorted(ends)


def test_netron_shows_the_errors_and_the_graph_still_runs(run: Path, tmp_path: Path) -> None:
    """The metadata are added, and nothing is taken away."""
    (path, _) = report_run(run, "netron", tmp_path)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    told = {p.key: p.value for p in model.graph.node[0].metadata_props}
    x = models.image(seed=1)
    (got,) = open_session(load_run(run).graph.model, threads=1).run(None, {"input": x})
    import onnxruntime as ort

    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    assert np.array_equal(session.run(None, {"input": x})[0], got)
    assert told["quant.precision"] == "int8"
    assert "isolated_sqnr_db: " in model.graph.node[0].doc_string


def test_a_run_without_measurements_has_a_page_too(tmp_path: Path) -> None:
    """--layer-samples 0 is allowed."""
    folder = make_run(tmp_path, models.conv_relu_net(), targets=("onnxruntime",))
    (folder / "onnxruntime" / "analysis.safetensors").unlink()
    table = folder / "onnxruntime" / "layers.csv"
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    cells = [line.split(",") for line in rows]
    table.write_text(
        "\n".join([head, *(",".join([*c[:3], "nan", "nan", "nan", *c[6:]]) for c in cells)]) + "\n"
    )
    write_overview(folder)

    assert "No layer was measured" in (folder / "report.html").read_text(encoding="utf-8")


def test_what_is_no_run_costs_one_sentence(tmp_path: Path, run: Path) -> None:
    """Each file that can be missing or broken says which it is."""
    with pytest.raises(InputError) as nothing:
        load_run(tmp_path)
    assert str(nothing.value) == (
        f"{tmp_path / 'run.json'}: not a readable summary of a run: there is no such file. "
        "Give the --out folder of quant calibrate."
    )
    path = tmp_path / "run.json"
    path.write_text('{"schema": 7}')
    with pytest.raises(InputError) as other:
        load_run(tmp_path)
    assert str(other.value) == (
        f"{path}: a run of another version: saw schema 7, wanted 1. Run quant calibrate again."
    )
    path.write_text('{"schema": 1}')
    with pytest.raises(InputError) as empty:
        load_run(tmp_path)
    assert str(empty.value) == (
        f"{path}: a run has a model and targets, saw only schema. Run quant calibrate again."
    )
    path.write_bytes((run / "run.json").read_bytes())
    (tmp_path / "prepared.onnx").write_bytes(b"\xff\xff")
    with pytest.raises(InputError) as graph:
        load_run(tmp_path)
    assert str(graph.value).startswith(f"{tmp_path / 'prepared.onnx'}: not a readable graph: ")
    assert str(graph.value).endswith(". Run quant calibrate again.")


def test_the_verdict_of_a_gate_is_on_the_page_and_its_words_are_escaped(tmp_path: Path) -> None:
    """Limits and layers come out of files that strangers made."""
    folder = make_run(tmp_path, models.conv_relu_net())
    said = {
        "outcome": "fail",
        "results": [
            {
                "outcome": "fail",
                "target": "onnxruntime",
                "limit": "<script>alert(1)</script>",
                "said": "saw 25 points & more",
                "layers": [{"layer": "a<b", "because": "isolated 3 dB"}],
            }
        ],
        "notes": ["an old baseline"],
    }
    (folder / "gate.json").write_text(json.dumps(said))
    page = report_html(load_run(folder))

    assert "<h2>Gate: fail</h2>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<code>a&lt;b</code>: isolated 3 dB" in page
    assert "saw 25 points &amp; more" in page
    (folder / "gate.json").write_text("{")
    assert "Gate:" not in report_html(load_run(folder))
