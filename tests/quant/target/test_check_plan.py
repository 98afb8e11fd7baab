"""A plan edited by hand: each mistake is one sentence, and nothing is exported."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.formats.number_format import Integer, Params
from quant.plan.tensor_plans import Plan
from quant.target.check_plan import check_plan, check_whole
from quant.target.deployment import Deployment
from quant.target.table import TARGETS
from tests.chosen import chosen
from tests.models import conv_relu_net, gemm_net

GRAPH, PLAN = chosen(gemm_net())
(WEIGHT, *_) = [t.tensor for t in PLAN.quantized if t.kind == "weight"]
(DATA, *_) = [t.tensor for t in PLAN.quantized if t.kind == "activation"]
(LAYER, *_) = [x.layer for x in PLAN.layers.values() if x.op == "Gemm"]


def with_tensor(name: str, **changes: object) -> Plan:
    changed = replace(PLAN.tensors[name], **changes)  # type: ignore[arg-type]
    return replace(PLAN, tensors={**PLAN.tensors, changed.tensor: changed})


def params(count: int) -> Params:
    return Params(scale=np.ones(count, np.float32), zero_point=np.zeros(count, np.int32))


WIDE = Integer(bits=16, signed=True, symmetric=True)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (replace(PLAN, graph="0" * 64), "it is of another graph (fingerprint 000000000000, wanted"),
        (
            with_tensor(DATA, tensor="gone"),
            "it names tensor 'gone', which the graph does not have.",
        ),
        (
            with_tensor(DATA, kind="weight"),
            f"tensor '{DATA}' is called weight and is an activation",
        ),
        (
            with_tensor(WEIGHT, kind="activation"),
            f"tensor '{WEIGHT}' is called activation and is a",
        ),
        (
            with_tensor(WEIGHT, params=params(3)),
            "has 3 scales along axis 0. Give one for each index",
        ),
        (
            with_tensor(DATA, format=WIDE),
            "is int16, and ONNX Runtime takes asymmetric uint8 for an activation. Choose again for",
        ),
        (
            replace(PLAN, bias_shifts={"gone": np.ones(3, np.float32)}),
            "it shifts the bias of layer 'gone'",
        ),
        (
            replace(PLAN, bias_shifts={LAYER: np.ones(3, np.float32)}),
            f"the bias shift of '{LAYER}' must be 32 finite numbers, saw 3. Mend the entry.",
        ),
        (
            replace(PLAN, bias_shifts={LAYER: np.full(32, np.nan, np.float32)}),
            f"the bias shift of '{LAYER}' must be 32 finite numbers, saw 32. Mend the entry.",
        ),
        (
            replace(
                PLAN,
                layers={**PLAN.layers, LAYER: replace(PLAN.layers[LAYER], precision="float32")},
            ),
            f"layer '{LAYER}' is float32, but its weight",
        ),
    ],
)
def test_a_mistake_is_one_sentence(plan: Plan, said: str, tmp_path: Path) -> None:
    """And the writer leaves nothing behind."""
    with pytest.raises(InputError) as caught:
        TARGETS["onnxruntime"].write(GRAPH, plan, tmp_path, Deployment())

    assert str(caught.value).startswith("plan for 'onnxruntime': ")
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_chosen_plan_passes() -> None:
    """The check is for edits."""
    check_plan(PLAN, GRAPH, TARGETS["onnxruntime"])


def test_a_plan_of_one_target_is_not_exported_for_another(tmp_path: Path) -> None:
    """Its grids are others."""
    with pytest.raises(InputError) as caught:
        TARGETS["tensorrt"].write(GRAPH, replace(PLAN, target="tensorrt"), tmp_path, Deployment())

    assert str(caught.value) == (
        f"plan for 'tensorrt': tensor '{DATA}' is uint8, and TensorRT takes symmetric int8 or "
        "float8e4m3fn or float16 for an activation. Choose again for this target."
    )


MEND = "Give it one, or keep the layer float with a recipe."


def without(plan: Plan, *tensors: str) -> Plan:
    return replace(plan, tensors={k: t for k, t in plan.tensors.items() if k not in tensors})


def told(plan: Plan, **layer: str) -> Plan:
    known = plan.layers["conv2"]
    return replace(plan, layers={**plan.layers, "conv2": replace(known, **layer)})


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda p: replace(p, layers={k: x for k, x in p.layers.items() if k != "conv2"}),
            "it says nothing of layer 'conv2'. Put its entry back, or choose again.",
        ),
        (
            lambda p: replace(p, layers={**p.layers, "x": p.layers["conv2"]}),
            "it names layer 'x', which the graph does not have. Remove the entry.",
        ),
        (
            lambda p: told(p, precision="int16"),
            "layer 'conv2' is int16, and ONNX Runtime has int8, w4a8, w4a4, w8a16, float32. Choose one of them.",
        ),
        (
            lambda p: without(p, "b"),
            "layer 'conv2' is int8, but 'b', which it reads, has no grid. " + MEND,
        ),
        (
            lambda p: without(p, "w2"),
            "layer 'conv2' is int8, but 'w2', which it reads, has no grid. " + MEND,
        ),
    ],
    ids=["missing", "unknown", "precision", "data", "weight"],
)
def test_what_is_exported_is_told_of_every_layer(edit: Callable[[Plan], Plan], said: str) -> None:
    """The tools of a chip compute the layer on integers whether we know its grids or not."""
    graph, plan = chosen(conv_relu_net())
    check_whole(plan, graph, TARGETS["onnxruntime"])
    with pytest.raises(InputError) as caught:
        check_whole(edit(plan), graph, TARGETS["onnxruntime"])

    assert str(caught.value) == f"plan for 'onnxruntime': {said}"


def test_a_layers_grids_are_of_its_precision() -> None:
    """On NNIE the mapper would compute it in 16 bit, and the simulation in 8."""
    graph, plan = chosen(conv_relu_net(), "nnie")
    with pytest.raises(InputError) as caught:
        check_whole(told(plan, precision="int16"), graph, TARGETS["nnie"])

    assert str(caught.value) == (
        "plan for 'nnie': layer 'conv2' is int16, but 'w2', which it reads, is gfpq8, wanted "
        "gfpq16. Mend one of the two."
    )
