"""Run: a folder's numbers as attributes, as text, and as a block of HTML that no name breaks."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

import quant
from quant.common.files import write_json
from tests.models import conv_relu_net
from tests.runs import HOSTILE, hostile, make_run


class Tags(HTMLParser):
    """Collects elements, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, set[str | None]] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value)

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(run: quant.Run) -> Tags:
    tags = Tags()
    tags.feed(run._repr_html_())
    return tags


def changed(folder: Path, **facts: object) -> quant.Run:
    path = folder / "run.json"
    write_json(path, json.loads(path.read_text()) | facts)
    return quant.Run.load(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path, conv_relu_net(), ["onnxruntime"])


def test_a_folder_opens_with_its_numbers(folder: Path) -> None:
    write_json(
        folder / "timing.json",
        {
            "seconds": {},
            "milliseconds_per_sample": {
                "onnxruntime": {"float_ms": 2.0, "integer_ms": 1.0, "speedup": 2.0}
            },
        },
    )
    run = quant.Run.load(str(folder))
    target = run.targets["onnxruntime"]

    assert target.plan.target == "onnxruntime"
    assert {row.layer for row in target.layers} == set(target.plan.layers)
    assert (target.agreement, target.accuracy, target.float_accuracy) == (0.95, None, None)
    assert target.sqnr_db == run.facts["targets"]["onnxruntime"]["simulated"]["sqnr_db"]
    assert target.speedup == 2
    assert target.plan_path.is_file()
    assert run.report == folder / "report.html"
    assert repr(run) == f"Run('{folder}': onnxruntime SQNR {target.sqnr_db:.1f} dB)"
    assert run.breaches == ()


def test_a_notebook_sees_verdicts_numbers_and_the_way_to_the_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    run = changed(folder, warnings=["look at the labels"])
    page = parsed(run)

    assert page.attributes["href"] == {f"{folder.name}/report.html"}
    for text in ("onnxruntime", "look closer", "1 warning", "look at the labels", "held-out"):
        assert text in page.text
    assert page.tags.count("tr") == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str, tmp_path: Path) -> None:
    """The name of a model, a warning and a folder come from strangers."""
    folder = make_run(tmp_path / "a'b<i>\"&", hostile(conv_relu_net()))
    plain = parsed(quant.Run.load(folder))
    model = json.loads((folder / "run.json").read_text())["model"]
    page = parsed(changed(folder, model=model | {"name": name}, warnings=[name]))

    assert set(page.tags) - set(plain.tags) == {"details", "summary", "ul", "li"}
    assert set(page.attributes) == {"style", "href", "target"}
    assert all(c.isprintable() for c in page.text)
    assert page.attributes["href"] == {(folder / "report.html").as_uri()}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(quant.InputError, match=r"run\.json: not a readable summary of a run"):
        quant.Run.load(tmp_path)
