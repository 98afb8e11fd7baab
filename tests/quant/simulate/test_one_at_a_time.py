"""One set at a time, against graphs in which just those tensors are quantized."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from scipy.special import rel_entr, softmax

from quant.common.errors import InputError
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session, open_simulation
from quant.plan.recipe import Recipe, Rule
from quant.plan.tensor_plans import Plan
from quant.search.group_errors import GroupErrors, GroupErrorsFile
from quant.search.groups import Group, SharedTensor, groups_of, shared_tensors
from quant.search.sensitivity import QuantizedGroups, group_errors, sensitivity_of
from quant.simulate.one_at_a_time import OneAtATime, QuantizedSet
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests.chosen import batch_of, chosen
from tests.models import concat_net, conv_relu_net, depthwise_net, image, residual_net

F = NDArray[np.float32]
X = image(seed=3, batch=8)


def plans(net: object, target: str) -> tuple[Graph, list[Plan]]:
    """Return a net's plans with all layers in int8, and with all in w4a8."""
    graph, first = chosen(net(), target)  # type: ignore[operator]
    narrow = Recipe(defaults=Rule(precision="w4a8"))
    return graph, [first, chosen(net(), target, recipe=narrow)[1]]  # type: ignore[operator]


def models(graph: Graph, some: list[Plan], target: str) -> list[ir.Model]:
    return [quantize_graph(graph, p, TARGETS[target], weight_form="integer") for p in some]


def only(graph: Graph, plan: Plan, target: str, names: set[str]) -> F:
    """Return the output with these tensors quantized, by the ordinary editor."""
    model = quantize_graph(graph, plan, TARGETS[target], only=frozenset(names))
    found: list[F] = open_simulation(model, 1).run(None, {"input": X})
    return found[0]


def plain(graph: Graph) -> F:
    found: list[F] = open_session(graph.model, threads=1).run(None, {"input": X})
    return found[0]


def grouped(graph: Graph, some: list[Plan], target: str) -> tuple[list[Group], list[SharedTensor]]:
    groups = groups_of(graph, some[0].layers)
    return groups, shared_tensors(graph, TARGETS[target], groups, some)


@pytest.mark.parametrize("net", [conv_relu_net, residual_net, concat_net, depthwise_net])
def test_a_tensor_turn_is_the_graph_with_that_tensor_on_its_grid_for_everybody(
    net: object,
) -> None:
    graph, some = plans(net, "onnxruntime")
    _, tensors = grouped(graph, some, "onnxruntime")
    turns = [QuantizedSet(tensors=t.tensors, version=0) for t in tensors]
    table = OneAtATime(graph, models(graph, some, "onnxruntime"), turns, 1)
    outputs, answers = table.answers({"input": X})
    np.testing.assert_allclose(outputs[0], plain(graph), rtol=1e-5, atol=1e-6)
    seen = 0
    for number, (got,) in answers:
        want = only(graph, some[0], "onnxruntime", set(tensors[number].tensors))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        assert np.abs(want - plain(graph)).max() > 1e-4, "it does something"
        seen += 1
    assert seen == len(tensors) > 0


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("net", [conv_relu_net, residual_net, concat_net, depthwise_net])
def test_a_turn_of_everything_is_the_whole_simulation(net: object, target: str) -> None:
    """Every layer and every tensor switched at once, at each of two precisions."""
    graph, some = plans(net, target)
    _, tensors = grouped(graph, some, target)
    every = tuple(x for x in graph.layers if some[0].layers[x.name].quantized)
    names = tuple(n for t in tensors for n in t.tensors)
    made = models(graph, some, target)
    turns = [QuantizedSet(layers=every, version=v, tensors=names) for v in (0, 1)]
    _, answers = OneAtATime(graph, made, turns, 1).answers({"input": X})
    for number, (got,) in answers:
        want = open_simulation(made[number], 1).run(None, {"input": X})[0]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", [conv_relu_net, depthwise_net])
def test_a_group_turn_of_each_version_quantizes_its_weights_and_its_own_inputs(
    net: object,
) -> None:
    """Held against the editor with the tensors of one group; chains, so that nobody else reads them."""
    target = "tensorrt"
    graph, some = plans(net, target)
    groups, tensors = grouped(graph, some, target)
    apart = {n for t in tensors for n in t.tensors}
    known = {x.name: x for x in graph.layers}
    turns = [
        QuantizedSet(layers=tuple(known[n] for n in g.layers), version=v)
        for v in (0, 1)
        for g in groups
    ]
    turns += [QuantizedSet(tensors=(name,)) for name in sorted(apart)]
    table = OneAtATime(graph, models(graph, some, target), turns, 1)
    _, answers = table.answers({"input": X})
    for number, (got,) in answers:
        if number >= 2 * len(groups):
            continue
        version, group = divmod(number, len(groups))
        read = {
            str(v.name) for n in groups[group].layers for v in known[n].node.inputs if v is not None
        }
        written = {str(known[n].output.name) for n in groups[group].layers}
        ends = {n for n in written if graph.values[n].is_graph_output()}
        want = only(graph, some[version], target, (read | ends) - apart)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_two_versions_with_other_numbers_under_one_name_stay_apart() -> None:
    """A bias that one plan shifted has the name of the float one where biases stay float."""
    graph, (plan, _) = plans(conv_relu_net, "tensorrt")
    name = next(n for n, p in plan.layers.items() if p.op == "Conv")
    shifted = replace(plan, bias_shifts={name: np.full(8, 3.0, np.float32)})
    layer = next(x for x in graph.layers if x.name == name)
    made = models(graph, [plan, shifted], "tensorrt")
    table = OneAtATime(
        graph,
        made,
        [QuantizedSet(layers=(layer,), version=0), QuantizedSet(layers=(layer,), version=1)],
        1,
    )
    answers = dict(table.answers({"input": X})[1])

    assert (
        np.abs(answers[1][0] - plain(graph)).max() > 10 * np.abs(answers[0][0] - plain(graph)).max()
    )


def quantized(graph: Graph, some: list[Plan], target: str) -> QuantizedGroups:
    """Return the groups at one precision a plan, and at one more that makes no error."""
    groups, tensors = grouped(graph, some, target)
    return QuantizedGroups(
        graph=graph,
        groups=groups,
        shared=tensors,
        precisions=len(some) + 1,
        versions=dict(enumerate(models(graph, some, target))),
    )


def probed(graph: Graph, some: list[Plan], target: str, name: str = "nmse") -> GroupErrors:
    batches = [batch_of({"input": X}, 8)]
    return group_errors(quantized(graph, some, target), batches, name, threads=1)


def test_nmse_and_divergence_are_those_of_float64_by_hand() -> None:
    graph, some = plans(conv_relu_net, "tensorrt")
    groups, _ = grouped(graph, some, "tensorrt")
    known = {x.name: x for x in graph.layers}
    found = sensitivity_of(probed(graph, some, "tensorrt"))
    kl = sensitivity_of(probed(graph, some, "tensorrt", "kl"), name="kl")
    want = plain(graph).astype(np.float64)

    assert found.error.shape == (len(groups), 3)
    assert np.all(found.error[:, 2] == 0), "a precision without a graph makes no error"
    for g, group in enumerate(groups):
        read = {str(v.name) for n in group.layers for v in known[n].node.inputs if v is not None}
        ends = {n for n in ("output",) if "fc" in group.layers}
        got = only(graph, some[0], "tensorrt", read | ends).astype(np.float64)
        assert found.error[g, 0] == pytest.approx(
            ((got - want) ** 2).sum() / (want**2).sum(), rel=1e-3
        )
        p, q = softmax(want, axis=1), softmax(got, axis=1)
        assert kl.error[g, 0] == pytest.approx(rel_entr(p, q).sum(axis=1).mean(), rel=1e-3)


def test_the_sum_of_errors_is_about_the_error_of_the_whole_plan() -> None:
    """On both kinds of targets; on random small networks noises are nearly independent."""
    for net in (conv_relu_net, residual_net, depthwise_net):
        for target in ("onnxruntime", "tensorrt"):
            graph, some = plans(net, target)
            groups, tensors = grouped(graph, some, target)
            found = sensitivity_of(probed(graph, some, target), tensors)
            want = plain(graph).astype(np.float64)
            (model,) = models(graph, some[:1], target)
            got = open_simulation(model, 1).run(None, {"input": X})[0]
            whole = 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())

            assert found.predicted_db((0,) * len(groups)) == pytest.approx(whole, abs=4)


def test_padding_counts_for_nothing() -> None:
    graph, some = plans(conv_relu_net, "tensorrt")
    both = quantized(graph, some, "tensorrt")
    padded = [batch_of({"input": X[:3]}, 8)]
    exact = [batch_of({"input": X[:3]}, 3)]
    one, other = (group_errors(both, b, "kl", threads=1) for b in (padded, exact))

    assert sensitivity_of(one, name="kl").error == pytest.approx(
        sensitivity_of(other, name="kl").error, rel=1e-5
    )
    assert one.samples.tolist() == other.samples.tolist() == [3]


def test_what_an_earlier_run_measured_is_passed_over_and_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    graph, some = plans(residual_net, "onnxruntime")
    both = quantized(graph, some, "onnxruntime")
    batches = [batch_of({"input": X[i : i + 2]}, 2) for i in range(0, 8, 2)]
    whole = group_errors(both, batches, threads=1)
    file = GroupErrorsFile(path=tmp_path / "probes.safetensors", key="k")
    group_errors(both, batches[:2], file=file, threads=1)
    kept = file.read()
    assert kept is not None
    assert len(kept.samples) == 2
    planted = replace(kept, other=kept.other + 7.0)
    file.write(planted)
    again = group_errors(both, batches, file=file, threads=1)
    assert np.array_equal(again.other[:2], planted.other), "they were read, not measured again"
    file.write(kept)
    again = group_errors(both, batches, file=file, threads=1)

    assert GroupErrorsFile(path=file.path, key="other").read() is None
    for name in ("signal", "noise", "other", "samples"):
        assert getattr(again, name).tobytes() == getattr(whole, name).tobytes()


def test_equal_grids_of_two_precisions_are_measured_once() -> None:
    """int8 and w4a8 have the same activations."""
    graph, some = plans(residual_net, "onnxruntime")
    groups, tensors = grouped(graph, some, "onnxruntime")
    found = sensitivity_of(probed(graph, some, "onnxruntime"), tensors)
    rows = found.error[len(groups) :]

    assert np.array_equal(rows[:, 0], rows[:, 1])
    assert np.all(rows[:, 0] > 0)


def test_a_divergence_of_what_is_no_class_is_refused() -> None:
    graph, some = plans(conv_relu_net, "tensorrt")
    batch = batch_of({"input": X}, 8)
    both = quantized(graph, some, "tensorrt")
    with pytest.raises(InputError) as caught:
        group_errors(both, [batch], "top1", threads=1)

    assert str(caught.value) == (
        "--sensitivity top1: it needs a label for each sample, saw none. Give --labels, or use "
        "--sensitivity nmse."
    )
    wide = graph.clone()
    middle = Graph(wide, graph.name).with_outputs(["b"])
    graph = Graph(ir.from_proto(ir.to_proto(middle)), graph.name)
    first = replace(both, graph=graph, groups=both.groups[:1])
    with pytest.raises(InputError) as caught:
        group_errors(first, [batch], "kl", threads=1)

    assert str(caught.value) == (
        "--sensitivity kl: the first output must be [samples, classes], saw [8, 8, 16, 16]. Use "
        "--sensitivity nmse."
    )
