"""quant.calibrate: the bytes of the command line, from whatever holds the model and the samples."""

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import quant
from quant.api.options import ImageOptions
from quant.cli.main import main
from quant.cli.main import quant as group
from quant.demo import DemoFiles, unpack
from quant.gate.verify import verify_run
from quant.job.settings import Job

SHORT: dict[str, Any] = {
    "samples": 16,
    "holdout": 8,
    "layer_samples": 2,
    "effort": "fast",
    "observer": "minmax",
    "progress": False,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return unpack(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def images(demo: DemoFiles) -> np.ndarray:
    """uint8 `[24, 32, 32, 3]`."""
    paths = sorted(demo.images.glob("*.png"))[:24]
    return np.stack([np.asarray(Image.open(p).convert("RGB").resize((32, 32), 0)) for p in paths])


def test_a_run_of_paths_is_the_command_lines_byte_for_byte(
    demo: DemoFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    words = f"calibrate --model {demo.model} --data {demo.images} --labels {demo.labels} --quiet"
    words += f" --preprocess {demo.preprocess} --samples 16 --holdout 8 --layer-samples 2"
    words += f" --effort fast --observer minmax --target tensorrt --out {tmp_path / 'cli'}"
    monkeypatch.setattr(sys, "argv", ["quant", *words.split()])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    printed = capsys.readouterr()
    run = quant.calibrate(
        demo.model,
        demo.images,
        "tensorrt",
        labels=demo.labels,
        preprocess=demo.preprocess,
        out=tmp_path / "api",
        **SHORT,
    )

    mine = {p.relative_to(run.folder) for p in run.folder.rglob("*") if p.is_file()}
    theirs = {p.relative_to(tmp_path / "cli") for p in (tmp_path / "cli").rglob("*") if p.is_file()}
    assert mine == theirs
    differ = [
        str(p) for p in mine if (run.folder / p).read_bytes() != (tmp_path / "cli" / p).read_bytes()
    ]
    assert differ == ["timing.json"]
    told = run.summary().replace(str(tmp_path / "api"), str(tmp_path / "cli"))
    for text in (printed.out, printed.err):
        assert all(line in told for line in text.splitlines())
    assert told.endswith(printed.out.rstrip())
    assert len(run.summary(verbose=True)) > len(told)
    verdict = quant.gate(run, min_agreement="50%")  # 8 samples decide nothing, and it is kept
    assert verdict.outcome in ("undecided", "pass")
    assert json.loads((run.folder / "gate.json").read_text())["outcome"] == verdict.outcome


def test_every_kind_of_model_and_data_gives_the_plan_of_its_numbers(
    demo: DemoFiles, images: np.ndarray, tmp_path: Path
) -> None:
    """The same pixels through a file, an array, a list and a generator: one profile, one plan."""
    np.save(tmp_path / "images.npy", images)
    proto, file = onnx.load(demo.model), tmp_path / "p.safetensors"
    profiles, plans = set(), set()
    for model, data in (
        (demo.model, tmp_path / "images.npy"),
        (proto, images),
        (proto, list(images)),
        (str(demo.model), (image for image in images)),
    ):
        file.unlink(missing_ok=True)
        quant.profile(model, data, preprocess=demo.preprocess, samples=24, out=file, progress=False)
        quant.choose(model, file, "tensorrt", out=tmp_path / "plan.json")
        profiles.add(file.read_bytes())
        plans.add((tmp_path / "plan.json").read_bytes())

    assert len(profiles) == len(plans) == 1


def test_equal_runs_of_memory_give_equal_bytes(
    demo: DemoFiles, images: np.ndarray, tmp_path: Path
) -> None:
    proto = onnx.load(demo.model)
    classes = [i % 10 for i in range(24)]
    facts = []
    for _ in range(2):
        out = tmp_path / "run"
        (out / "profile.safetensors").unlink(missing_ok=True)
        run = quant.calibrate(
            proto, images, labels=classes, preprocess=demo.preprocess, out=out, **SHORT
        )
        facts.append((run.folder / "run.json").read_bytes())

    assert facts[0] == facts[1]
    told = json.loads(facts[0])
    assert told["data"]["source"] == "arrays: 1 x uint8[24,32,32,3] with classes"
    assert told["model"]["source"] == "onnx.ModelProto main_graph"
    with pytest.raises(quant.InputError, match=r"were in memory \(arrays: .*give --data\.$"):
        verify_run(tmp_path / "run")


def right(outputs: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return 1 where the class is right."""
    return (next(iter(outputs.values())).argmax(1) == labels).astype(float)


class Net(torch.nn.Module):
    """Two convolutions and a classifier of five."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 3, stride=2)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(x).relu()).relu().mean((2, 3)))


def test_a_torch_module_with_a_loader_a_metric_and_a_recipe(tmp_path: Path) -> None:
    """What somebody has at hand who has just trained a network."""
    torch.manual_seed(1)
    samples = torch.utils.data.TensorDataset(torch.randn(23, 3, 12, 12), torch.arange(23) % 5)
    run = quant.calibrate(
        Net(),
        torch.utils.data.DataLoader(samples, batch_size=10),
        ("onnxruntime", "openvino"),
        example_inputs=torch.zeros(1, 3, 12, 12),
        metrics=[right, "top1"],
        recipe={"rule": [{"op": "Gemm", "precision": "float"}]},
        out=tmp_path,
        **SHORT,
    )
    target = run.targets["onnxruntime"]

    assert run.facts["settings"]["recipe"] == "recipe in memory"
    assert run.facts["data"]["source"] == "DataLoader: 23 samples"
    assert list(target.scores) == [f"{__name__}:right", "top1"]
    assert target.scores["top1"] == target.accuracy
    assert [r.precision for r in target.plan.layers.values() if r.op == "Gemm"] == ["float32"]
    assert target.speedup is not None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"targets": "tensorflow"},
            (
                "No target is named 'tensorflow'. Did you mean 'tensorrt'? Known: atlas, nnie, "
                "onnxruntime, openvino, tensorrt."
            ),
        ),
        ({"samples": "10"}, "samples: it is a whole number, saw '10'. Give one."),
        ({"min_sqnr": "30 dB"}, "min_sqnr: it is a number of dB, saw '30 dB'. Give one."),
        ({"data": None}, "data: it is a path or samples in memory, saw None. Give one of these."),
        (
            {"targets": [3]},
            "targets: it is a name or a list of names, saw [3]. Give one.",
        ),
        (
            {"metrics": lambda outputs, labels: labels},
            (
                "metrics: a metric is a name, 'module:function', or a function at the top of a "
                "module, saw '<lambda>'. Define it there with def."
            ),
        ),
        (
            {"std": 0},
            (
                "std: every value must be greater than 0, saw '0'. Write 1 to leave a channel "
                "unscaled."
            ),
        ),
        (
            {"preprocess": {"sise": 3}},
            (
                "preprocess: its fields are channels, crop, interpolation, layout, mean, pad, "
                "resize, short_side, size, std, saw sise. Mend the name."
            ),
        ),
        ({"preprocess": 3}, "preprocess: it is a path, saw 'int'. Give a path."),
        ({"recipe": 3}, "recipe: it is a path, saw 'int'. Give a path."),
        (
            {"recipe": quant.Recipe(rules=(quant.Rule(op="Gemm", weights="int8"),))},
            (
                "recipe in memory:1: weights is one of: per-channel, per-tensor; saw 'int8'. Choose "
                "one of them."
            ),
        ),
        (
            {"data": "nowhere", "labels": [1, 2]},
            (
                "labels: classes in memory are for data in memory, and this data is a path. Give a "
                "CSV file with file,label, or 'folders'."
            ),
        ),
        (
            {"example_inputs": np.zeros(3)},
            (
                "example_inputs: they are for a torch.nn.Module, and this model is a path. Leave "
                "them out."
            ),
        ),
        ({"samples": 0}, "--samples: must be 1 or more, saw 0. Raise it."),
        (
            {"max_drop": 1},
            (
                "max_drop: a share is written 1% or 0.01, saw '1', which may be 1 % or all. Write "
                "1% or 100%."
            ),
        ),
        (
            {"budget": {"size": "60"}},
            (
                "--budget: latency=2ms, size=3MB, ops=1.2G or a share as size=60% is wanted, saw "
                "'size=60'. Name one of these axes, a number over 0 and its unit."
            ),
        ),
        ({"out": 3}, "out: it is a path, saw 'int'. Give a path."),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(
    wrong: dict[str, Any], sentence: str, demo: DemoFiles, tmp_path: Path
) -> None:
    given = {"data": np.zeros((9, 3, 32, 32), np.float32), "out": tmp_path, **SHORT, **wrong}
    with pytest.raises(quant.InputError) as caught:
        quant.calibrate(demo.model, given.pop("data"), **given)

    assert str(caught.value) == sentence
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_keyword_is_named_with_the_right_one(demo: DemoFiles) -> None:
    with pytest.raises(TypeError) as caught:
        quant.calibrate(demo.model, demo.images, efort="fast")  # type: ignore[call-arg]

    assert str(caught.value) == (
        "calibrate() got an unexpected keyword argument 'efort'. Did you mean 'effort'?"
    )


OTHER_NAMES = {"metric": "metrics", "target": "targets", "quiet": "progress"}
"""Flags that are named for one of several, or for the contrary."""
ONLY_TEXT = {"json", "verbose", "help"}
"""Flags that say how a result is printed."""


@pytest.mark.parametrize("function", [quant.calibrate, quant.search])
def test_the_keywords_are_the_flags_with_their_defaults(function: Callable[..., Any]) -> None:
    """Who knows one knows the other."""
    command = group.commands[function.__name__]
    with click.Context(command) as context:
        flags = {
            max(option.opts, key=len).removeprefix("--").replace("-", "_"): option
            for option in command.get_params(context)
        }
    keywords = inspect.signature(function).parameters
    named = {OTHER_NAMES.get(name, name) for name in flags} - ONLY_TEXT
    versions = {"trt_version", "soc_version", "nnie_version"}  # one keyword: versions
    mine = {*keywords, *ImageOptions.__annotations__, *versions} - {"image", "example_inputs"}
    of_search = set(inspect.signature(quant.search).parameters)

    assert named - mine <= of_search
    assert mine - named == {"versions"}
    defaults = {f.name: f.default for f in fields(Job)}
    for name, parameter in keywords.items():
        if name in defaults and name not in ("data", "model", "preprocess", "versions", "out"):
            assert parameter.default == defaults[name], name
