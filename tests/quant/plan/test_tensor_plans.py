"""Plan: JSON that reads back to the bit, may be edited, and names the entry that is broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.formats.number_format import INT8, UINT8, Params
from quant.plan.file import load_plan, save_plan
from quant.plan.tensor_plans import LayerPlan, Plan, TensorPlan


def example() -> Plan:
    rng = np.random.default_rng(0)
    tiny = np.finfo(np.float32).tiny
    scales = np.concatenate([rng.lognormal(0, 30, 500), [tiny, 1 / 3, 3.4e38, 1e-45]])
    scales = np.clip(scales, 1e-45, 3.4e38).astype(np.float32)
    return Plan(
        target="onnxruntime",
        graph="ab" * 32,
        layers={
            'a "b",\n': LayerPlan(layer='a "b",\n', op="Conv", precision="int8", because="so"),
            "c": LayerPlan(layer="c", op="Gemm", precision="float32", because="the recipe"),
        },
        tensors={
            "x": TensorPlan(
                tensor="x",
                kind="activation",
                format=UINT8,
                params=Params(scale=np.float32(0.1) + np.zeros((), np.float32), zero_point=_i(7)),
                readers=(("c", 1), ('a "b",\n', 0)),
                because="ü",
            ),
            "y": TensorPlan(tensor="y", kind="activation", format=None, params=None, because="f"),
            "w": TensorPlan(
                tensor="w",
                kind="weight",
                format=INT8.with_axis(0),
                params=Params(scale=scales, zero_point=np.zeros(scales.shape, np.int32)),
                because="",
            ),
        },
        bias_shifts={"c": rng.normal(size=50).astype(np.float32)},
    )


def _i(value: int) -> Any:
    return np.asarray(value, np.int32)


def saved(folder: Path) -> dict[str, Any]:
    path = folder / "plan.json"
    save_plan(example(), path)
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def reloaded(table: object, folder: Path) -> Plan:
    path = folder / "plan.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    return load_plan(path)


def test_a_plan_reads_back_to_the_bit(tmp_path: Path) -> None:
    """A scale that moves by one bit is another grid, and other integers."""
    before = example()
    save_plan(before, tmp_path / "plan.json")
    after = load_plan(tmp_path / "plan.json")

    assert (after.target, after.graph, after.layers) == (before.target, before.graph, before.layers)
    assert list(after.tensors) == list(before.tensors)
    for name, tensor in before.tensors.items():
        other = after.tensors[name]
        assert (other.format, other.readers, other.because) == (
            tensor.format,
            tensor.readers,
            tensor.because,
        )
        assert (other.params is None) == (tensor.params is None)
        if tensor.params is not None and other.params is not None:
            assert other.params.scale.tobytes() == tensor.params.scale.tobytes()
            assert other.params.scale.dtype == np.float32
            assert other.params.zero_point.tolist() == tensor.params.zero_point.tolist()
    assert after.bias_shifts["c"].tobytes() == before.bias_shifts["c"].tobytes()
    assert [t.tensor for t in after.quantized] == ["x", "w"]


def test_writing_twice_gives_equal_bytes(tmp_path: Path) -> None:
    save_plan(example(), tmp_path / "a.json")
    save_plan(load_plan(tmp_path / "a.json"), tmp_path / "b.json")

    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_plan_that_was_edited_by_hand_is_taken(tmp_path: Path) -> None:
    table = saved(tmp_path)
    table["tensors"][0].update(scale=0.5, zero_point=128, readers=None)
    del table["tensors"][0]["because"]
    table["tensors"][2] = {"tensor": "w", "kind": "weight", "format": "float32"}
    del table["bias_shifts"]
    plan = reloaded(table, tmp_path)
    params = plan.tensors["x"].params

    assert params is not None
    assert (float(params.scale), int(params.zero_point)) == (0.5, 128)
    assert plan.tensors["x"].readers is None
    assert plan.tensors["w"].params is None
    assert plan.bias_shifts == {}


NEEDS = "a tensor needs tensor, kind, format, scale, zero_point, symmetric, narrow and axis; saw "


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop("scale"), f"'x': {NEEDS}KeyError: 'scale'."),
        (lambda t: t.pop("axis"), f"'x': {NEEDS}KeyError: 'axis'."),
        (lambda t: t.pop("tensor"), f"'0': {NEEDS}KeyError: 'tensor'."),
        (
            lambda t: t.update(scale=0),
            f"'x': {NEEDS}ValueError: Params.scale must be finite and above 0, saw 0.0.",
        ),
        (
            lambda t: t.update(scale=1e60),
            f"'x': {NEEDS}ValueError: Params.scale must be finite and above 0, saw inf.",
        ),
        (
            lambda t: t.update(scale=None),
            f"'x': {NEEDS}ValueError: Params.scale must be finite and above 0, saw nan.",
        ),
        (
            lambda t: t.update(scale=[0.1, 0.2], zero_point=[0, 0]),
            (
                f"'x': {NEEDS}ValueError: one scale goes with axis null, a list of scales with a "
                "number."
            ),
        ),
        (
            lambda t: t.update(scale=[0.1, 0.2]),
            f"'x': {NEEDS}ValueError: Params.zero_point must have the shape of scale (2,), saw ().",
        ),
        (
            lambda t: t.update(zero_point=256),
            f"'x': {NEEDS}ValueError: zero_point must be 0 to 255.",
        ),
        (
            lambda t: t.update(format="int1"),
            f"'x': {NEEDS}ValueError: Integer.bits must be 2 to 32, saw 1.",
        ),
        (
            lambda t: t.update(kind="bias"),
            f"'x': {NEEDS}ValueError: kind is activation or weight, saw 'bias'.",
        ),
        (
            lambda t: t.update(readers=[["c"]]),
            f"'x': {NEEDS}ValueError: not enough values to unpack (expected 2, got 1).",
        ),
    ],
)
def test_a_broken_tensor_is_named(
    edit: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    table = saved(tmp_path)
    edit(table["tensors"][0])

    with pytest.raises(InputError) as caught:
        reloaded(table, tmp_path)

    assert str(caught.value) == f"{tmp_path / 'plan.json'}, tensor {said} Mend the entry."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"version": 2},
            ": not a plan of this version: saw version 2, wanted 1. Write one with quant choose.",
        ),
        ({"tensors": {}}, ": tensors is a list, saw dict. Mend the file."),
        (
            {"tensors": ["x"]},
            (
                ", tensor '0': a tensor needs tensor, kind, format, scale, zero_point, symmetric, "
                "narrow and axis; saw TypeError: string indices must be integers, not 'str'. "
                "Mend the entry."
            ),
        ),
        (
            {"layers": [{"layer": "c", "op": "Conv"}]},
            (
                ", layer 'c': a layer needs layer, op and precision; saw KeyError: 'precision'. "
                "Mend the entry."
            ),
        ),
        (
            {"layers": [{"layer": "c", "op": "Conv", "precision": "int9"}]},
            (
                ", layer 'c': a layer needs layer, op and precision; saw ValueError: precision is one "
                "of int8, int16, w4a8, w4a4, w8a16, fp8, float16, float32, saw 'int9'. Mend the entry."
            ),
        ),
        (
            {"layers": [{"layer": "c", "op": "Conv", "precision": "int8"}] * 2},
            ", layer 'c': it stands there twice. Remove one.",
        ),
    ],
)
def test_a_broken_file_says_what_is_wrong(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        reloaded(saved(tmp_path) | change, tmp_path)

    assert str(caught.value) == f"{tmp_path / 'plan.json'}{said}"


@pytest.mark.parametrize("shifts", [[1], {"c": ["a"]}])
def test_shifts_that_are_no_numbers_are_refused(shifts: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bias_shifts is a list of numbers for each layer; saw "):
        reloaded(saved(tmp_path) | {"bias_shifts": shifts}, tmp_path)


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.json: not a readable plan: .*there is no such file"):
        load_plan(tmp_path / "no.json")
    (tmp_path / "cut.json").write_text('{"version": 1,', encoding="utf-8")
    with pytest.raises(InputError, match=r"cut\.json: not a readable plan: "):
        load_plan(tmp_path / "cut.json")
    with pytest.raises(InputError, match="saw version None, wanted 1"):
        reloaded([1], tmp_path)
