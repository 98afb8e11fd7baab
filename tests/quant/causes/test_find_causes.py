"""Causes: a planted fault of each kind is named, with its remedy."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.analysis.layer_error import LayerError
from quant.calibration import Batch
from quant.calibration.profiling.run_profile import profile
from quant.calibration.profiling.statistics_graph import micro_batch, profiled_tensors
from quant.causes.find_causes import likely_cause
from quant.choose.planner import Planner
from quant.graph.prepared_graph import Graph
from quant.load.prepare import prepare
from quant.plan.planned_graph import PlannedGraph
from quant.plan.recipe import NOTHING, Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.target.table import TARGETS
from tests import models


def graph_of(proto: onnx.ModelProto) -> Graph:
    """Return the prepared graph."""
    return prepare(ir.from_proto(proto), "net", "net.onnx")


def scaled(proto: onnx.ModelProto, name: str, factor: NDArray[np.float32]) -> onnx.ModelProto:
    """Return a model whose weight `name` is multiplied by a factor for each output channel."""
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            array = onnx.numpy_helper.to_array(tensor)
            made = array * factor.reshape(-1, *[1] * (array.ndim - 1))
            tensor.CopyFrom(onnx.numpy_helper.from_array(made, name))
    return proto


def seen(graph: Graph, images: NDArray[np.float32]) -> Profile:
    """Return the profile over all images."""
    size = micro_batch(graph, profiled_tensors(graph))
    rows = [images[i : i + size] for i in range(0, len(images), size)]
    full = [np.concatenate([r, np.repeat(r[-1:], size - len(r), axis=0)]) for r in rows]
    batches = [
        Batch(
            keys=tuple(str(i) for i in range(len(part))),
            feeds={str(graph.inputs[0].name): whole},
            labels=(None,) * len(part),
            digests=(0,) * len(part),
            count=len(part),
        )
        for part, whole in zip(rows, full, strict=True)
    ]
    return profile(graph, batches, threads=1)


def planned(graph: Graph, found: Profile, recipe: Recipe = NOTHING) -> Plan:
    """Return ONNX Runtime's plan by exact extremes."""
    return Planner(target=TARGETS["onnxruntime"], recipe=recipe, observer="minmax").choose(
        graph, found
    )


def row(layer: str, **given: Any) -> LayerError:
    """Return measurements that accuse nobody."""
    usual: dict[str, Any] = {
        "op": "Conv",
        "precision": "int8",
        "isolated_sqnr_db": 40.0,
        "cumulative_sqnr_db": 20.0,
        "cosine": 0.99,
        "weight_sqnr_db": 40.0,
        "saturation": 0.0,
        "macs": 1,
        "because": "",
    }
    return LayerError(layer=layer, **(usual | given))


def images(count: int = 32) -> NDArray[np.float32]:
    """Return seeded images within three standard deviations."""
    return np.clip(models.image(seed=1, batch=count), -3, 3)


def likely(graph: Graph, plan: Plan, profile: Profile, row: LayerError) -> str:
    """Return the phrase about a layer's likeliest cause."""
    return likely_cause(PlannedGraph(graph=graph, plan=plan, profile=profile), row)


def test_one_scale_for_unequal_weight_channels_is_named() -> None:
    """The disaster of depthwise layers; a scale for each channel cures it."""
    factor = np.ones(12, np.float32)
    factor[0] = 100
    graph = graph_of(scaled(models.depthwise_net(), "w2", factor))
    found = seen(graph, images())
    forced = Recipe(rules=(Rule(match="depthwise", weights="per-tensor"),))

    said = likely(graph, planned(graph, found, forced), found, row("depthwise"))
    cured = likely(graph, planned(graph, found), found, row("depthwise"))

    assert said.startswith("one weight scale for 12 depthwise channels")
    assert said.endswith('weights = "per-channel"')
    assert "weight scale" not in cured


def test_an_outlier_is_named_with_the_tensor_that_holds_it() -> None:
    """One pixel takes the grid from all others, and the observer of its maker is to be changed."""
    shots = images()
    shots[3, 1, 5, 5] = 60
    graph = graph_of(models.conv_relu_net())
    found = seen(graph, shots)

    said = likely(graph, planned(graph, found), found, row("conv1"))

    assert said.startswith("outliers up to 60 in its input")
    assert said.endswith("observer = \"percentile\" for 'input'")


def test_the_remedy_names_the_node_behind_an_absorbed_activation() -> None:
    """A recipe rule for the Relu's layer is what changes the tensor that the next layer reads."""
    graph = graph_of(models.conv_relu_net())
    found = seen(graph, images())

    said = likely(graph, planned(graph, found), found, row("conv2", saturation=0.02))

    assert said == "2 % of its input is beyond the grid; observer = \"minmax\" for 'conv1'"


def test_saturation_on_the_threshold_is_no_evidence() -> None:
    """A number exactly on a limit passes; nan never accuses."""
    graph = graph_of(models.conv_relu_net())
    found = seen(graph, images())
    plan = planned(graph, found)

    for share in (0.001, math.nan):
        assert likely(graph, plan, found, row("conv2", saturation=share)) == "rounding noise"


def test_a_channel_that_fills_the_grid_alone_is_named() -> None:
    """No range is right for both: cutting the loud channel is an error, keeping it another."""
    factor = np.ones(8, np.float32)
    factor[2] = 50
    proto = scaled(scaled(models.conv_relu_net(), "w1", factor), "b1", factor)
    graph = graph_of(proto)
    found = seen(graph, images())

    said = likely(graph, planned(graph, found), found, row("conv2"))

    assert said.startswith("channel 2 of its input reaches")
    assert said.endswith("precision = \"float\" for it and 'conv1'")


def test_a_shared_grid_is_named_with_the_neighbour() -> None:
    """Concat forces the range of the loud branch on the quiet one."""
    proto = scaled(models.concat_net(), "w2", np.full(4, 50, np.float32))
    graph = graph_of(proto)
    found = seen(graph, images())
    plan = planned(graph, found)
    tensors = dict(plan.tensors)
    tensors["b"] = replace(tensors["b"], params=tensors["d"].params)

    said = likely(graph, replace(plan, tensors=tensors), found, row("concat", op="Concat"))

    assert said.startswith("its input 'b' shares a grid with 'd', whose range is ")
    assert said.endswith("precision = \"float\" for it and 'mix'")


def test_first_and_last_layer_are_named_only_without_evidence() -> None:
    """They are suspects by their place; a measurement goes first."""
    graph = graph_of(models.conv_relu_net())
    found = seen(graph, images())
    plan = planned(graph, found)

    assert likely(graph, plan, found, row("conv1")).startswith("first layer: ")
    assert likely(graph, plan, found, row("fc")).startswith("last layer: ")
    assert likely(graph, plan, found, row("fc", saturation=0.01)).startswith("1 % of its")


def test_nothing_special_is_rounding_noise_and_float_layers_say_why() -> None:
    """An invented cause costs a day."""
    graph = graph_of(models.conv_relu_net())
    found = seen(graph, images())
    plan = planned(graph, found)
    kept = row("conv2", precision="float32", because="the recipe keeps it float")

    assert likely(graph, plan, found, row("conv2")) == "rounding noise"
    assert likely(graph, plan, found, kept) == "stays float32: the recipe keeps it float"
    assert likely(graph, plan, found, row("nobody")) == "not in the graph"


def test_noise_that_costs_much_has_a_cure_too() -> None:
    """The worst layers are where help is needed most."""
    graph = graph_of(models.conv_relu_net())
    found = seen(graph, images())
    plan = planned(graph, found)

    assert likely(graph, plan, found, row("conv2", isolated_sqnr_db=11.5)) == (
        'rounding noise, more than it can bear; precision = "float"'
    )
