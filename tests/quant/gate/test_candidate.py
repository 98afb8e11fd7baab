"""Candidates of any origin: what their runtime says becomes one sentence, and a wrapper renames."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.calibration import split
from quant.common.errors import InputError, UnsupportedError
from quant.common.progress import Progress
from quant.gate.candidate import open_candidate
from quant.gate.two_models import OpenModels, TwoModels
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.table import find_runtime
from tests import models

openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="openvino is not installed: pip install 'boardquant[openvino]'",
)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    onnx.save(models.conv_relu_net(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def ends(path: Path) -> tuple[str, str]:
    graph = onnx.load(path).graph
    return graph.input[0].name, graph.output[0].name


def fixed_batch(path: Path, size: int) -> Path:
    """Return a copy of a model that takes batches of one size."""
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = size
    onnx.save(model, path.with_name(f"batch{size}.onnx"))
    return path.with_name(f"batch{size}.onnx")


def contest(reference: Path, candidate: Path, **rest: object) -> TwoModels:
    np.save(reference.with_name("x.npy"), models.image(batch=6))
    data = str(reference.with_name("x.npy"))
    made: dict[str, object] = {"reference": str(reference), "candidate": candidate, "data": data}
    return TwoModels(preprocess=Preprocess(), **(made | rest))  # type: ignore[arg-type]


def opened(*models_: Path, **rest: object) -> OpenModels:
    return OpenModels.open(contest(*models_, **rest), Progress(quiet=True))


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=openvino)])
def test_a_candidate_answers_to_the_references_names(net: Path, runtime: str) -> None:
    """By order, where it has names of its own."""
    known = ends(net)
    candidate = open_candidate(net, ["picture"], ["classes"], find_runtime(runtime), 1)
    x = models.image(batch=2)
    (made,) = candidate.run(["classes"], {"picture": x})
    (same,) = open_candidate(net, [known[0]], [known[1]], find_runtime(runtime), 1).run(
        [known[1]], {known[0]: x}
    )

    np.testing.assert_array_equal(made, same)
    assert candidate.batch in (None, 2)


def test_what_the_runtime_refuses_is_said_with_the_shapes(net: Path) -> None:
    name, output = ends(net)
    candidate = open_candidate(net, [name], [output], find_runtime("onnxruntime"), 1)
    with pytest.raises(InputError) as caught:
        candidate.run([output], {name: np.zeros((1, 9, 4, 4), np.float32)})

    said = str(caught.value)
    assert said.startswith(f"{net}: it must run on '{name}' 1x9x4x4, and said '")
    assert said.endswith("'. Export it for that shape.")
    assert "\n" not in said


@openvino
def test_what_openvino_cannot_open_costs_one_sentence(net: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_candidate(tmp_path / "none.xml", ["a"], ["b"], find_runtime("openvino"))
    assert str(caught.value) == (
        f"{tmp_path / 'none.xml'}: OpenVINO takes an .onnx or .xml file, saw none. Name one."
    )
    other = net.rename(tmp_path / "net.bin")
    with pytest.raises(InputError) as caught:
        open_candidate(other, ["a"], ["b"], find_runtime("openvino"))
    assert (
        str(caught.value) == f"{other}: OpenVINO takes an .onnx or .xml file, saw '.bin'. Name one."
    )
    broken = tmp_path / "broken.xml"
    broken.write_text("<net/>")
    with pytest.raises(UnsupportedError) as refused:
        open_candidate(broken, ["a"], ["b"], find_runtime("openvino"))
    said = str(refused.value)
    assert "must be able to load it, and said '" in said
    assert said.endswith("'. Export it again, or give --runtime onnxruntime.")
    assert "\n" not in said


def test_batches_of_different_sizes_are_refused(net: Path) -> None:
    one, two = fixed_batch(net, 1), fixed_batch(net, 2)
    with pytest.raises(InputError) as caught:
        opened(one, two)

    assert str(caught.value) == (
        f"{two}: it takes batches of 2, the reference batches of 1. Export both with an open batch "
        "axis."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": 0}, "--samples: must be 1 or more, saw 0. Raise it."),
        ({"calibrated": -1}, "--calibrated: must be 0 or more, saw -1. Raise it."),
        ({"max_bad": 5.0}, "--max-bad: must be from 0 to 1, saw 5.0. Write 0.05 for 5 %."),
        (
            {"calibrated": 6},
            (
                "--calibrated: 6 of the 6 samples of {} were used to calibrate, and none is left to "
                "judge. Give more data."
            ),
        ),
    ],
)
def test_numbers_out_of_range_cost_one_sentence(
    net: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        opened(net, net, **change)

    assert str(caught.value) == said.format(net.with_name("x.npy"))


def test_the_calibration_samples_are_left_out_and_the_rest_is_shuffled_by_seed(net: Path) -> None:
    """The same that `quant calibrate` took; without the flag all are judged."""
    first, again, other = (opened(net, net, calibrated=2, seed=seed) for seed in (0, 0, 3))

    assert sorted(first.order) == split(6, 2, 6, 0)[1]
    assert first.order == again.order
    assert sorted(other.order) == split(6, 2, 6, 3)[1]
    assert sorted(opened(net, net).order) == list(range(6))
    assert len(opened(net, net, samples=4).order) == 4


def test_samples_that_cannot_be_read_at_all_cost_one_sentence(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    trial = opened(net, net, data=str(folder), max_bad=1.0)
    with pytest.raises(InputError) as caught:
        trial.must_fit()

    assert (
        str(caught.value) == f"--data {folder}: none of the samples can be read. Give other data."
    )
