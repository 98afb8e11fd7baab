"""A planted fault of each kind is found, named, and cured by the rule that the tool writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from quant.causes import find_causes as causes
from quant.causes.cause import Cause
from quant.causes.find_causes import find_causes
from quant.choose.planner import Planner
from quant.graph.prepared_graph import Graph
from quant.graph.session import open_session, open_simulation
from quant.observers import OBSERVERS
from quant.plan.planned_graph import PlannedGraph
from quant.plan.recipe import NOTHING, Recipe, Rule, load_recipe
from quant.plan.tensor_plans import Plan
from quant.profile.statistics import Profile
from quant.simulate.simulated_graph import quantize_graph
from quant.target.table import TARGETS
from tests import models
from tests.chosen import batch_of, prepared, profiled
from tests.runs import measured

Images = NDArray[np.float32]
IMAGES = np.clip(models.image(seed=1, batch=16), -3, 3)


def changed(proto: onnx.ModelProto, name: str, factor: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the model with a weight multiplied."""
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            array = onnx.numpy_helper.to_array(tensor) * factor
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


def loud(channels: int, which: int, factor: float) -> NDArray[np.float32]:
    found = np.ones((channels, 1, 1, 1), np.float32)
    found[which] = factor
    return found


def errors(graph: Graph, plan: Plan, images: Images) -> tuple[Images, Images]:
    """Return the first output in float, and as the target computes it."""
    model = quantize_graph(graph, plan, TARGETS[plan.target], weight_form="integer")
    want: Images = open_session(graph.model, threads=1).run(None, {"input": images})[0]
    got: Images = open_simulation(model, 1).run(None, {"input": images})[0]
    return want, got


def decibel(want: Images, got: Images) -> float:
    a, b = want.astype(np.float64), got.astype(np.float64)
    return float(10 * np.log10((a**2).sum() / max(((a - b) ** 2).sum(), 1e-30)))


class Case:
    """A network with a planted fault, and what the tool says of it."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        planted: Recipe = NOTHING,
        target: str = "onnxruntime",
        images: Images = IMAGES,
    ) -> None:
        self.graph = prepared(proto)
        self.images, self.planted, self.target = images, planted, target
        self.profile: Profile = profiled(self.graph, {"input": images})
        self.plan = self.planned(planted)

    def planned(self, recipe: Recipe) -> Plan:
        """Choose by exact extremes."""
        return Planner(target=TARGETS[self.target], recipe=recipe, observer="minmax").choose(
            self.graph, self.profile
        )

    def edited(self, tensor: str, factor: float) -> None:
        """Plant a fault that only an edited plan has: a range that is wrong by a factor."""
        known = self.plan.tensors[tensor]
        assert known.format is not None
        low, high = (float(x) * factor for x in known.format.grid_range(known.params))
        params = known.format.parameters(low, high)
        tensors = {**self.plan.tensors, tensor: replace(known, params=params)}
        self.plan = replace(self.plan, tensors=tensors)

    @property
    def all(self) -> PlannedGraph:
        """The graph with its plan and profile."""
        return PlannedGraph(graph=self.graph, plan=self.plan, profile=self.profile)

    def cause(self, layer: str) -> Cause:
        """Return the likeliest cause of a layer's error."""
        batch = batch_of({"input": self.images}, len(self.images))
        rows, analysis = measured(self.graph, self.plan, self.profile, [batch])
        row = next(r for r in rows if r.layer == layer)
        known = analysis.layers.get(layer)
        return find_causes(self.all, row, known)[0]

    def cured(self, cause: Cause, folder: Path) -> Plan:
        """Return the plan with the tool's rule above those that are there."""
        path = folder / "cure.toml"
        path.write_text(cause.recipe(), encoding="utf-8")
        cure = load_recipe(path, list(OBSERVERS))
        return self.planned(replace(cure, rules=(*cure.rules, *self.planted.rules)))

    def gain(self, cause: Cause, folder: Path, images: Images, part: slice = slice(None)) -> float:
        """Return by how many dB the cure makes the outputs better, or some of their channels."""
        before = errors(self.graph, self.plan, images)
        after = errors(self.graph, self.cured(cause, folder), images)
        return decibel(*(x[:, part] for x in after)) - decibel(*(x[:, part] for x in before))


def test_one_scale_for_unequal_channels(tmp_path: Path) -> None:
    """The disaster of depthwise layers."""
    factor = loud(12, 0, 100)
    rule = Rule(match="depthwise", weights="per-tensor")
    case = Case(changed(models.depthwise_net(), "w2", factor), Recipe(rules=(rule,)))
    cause = case.cause("depthwise")

    assert (cause.kind, cause.remedy) == ("weight-scale", 'weights = "per-channel"')
    assert "12 depthwise channels" in cause.evidence
    assert case.gain(cause, tmp_path, IMAGES) > 1


WIDE = """
g (float[N,3,16,16] input) => (float[N,8,16,16] y) {
    [widen] t = Conv <kernel_shape=[1,1]> (input, w1, b1)
    r = Relu (t)
    [narrow] y = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (r, w2, b2)
}
"""


def test_outliers_in_a_weight(tmp_path: Path) -> None:
    """One weight a channel takes the grid from the others, for an input that hardly speaks."""
    held = models.weights(3, w1=(64, 3, 1, 1), b1=(64,), w2=(8, 64, 3, 3), b2=(8,))
    held["w1"][0] *= 1e-3
    held["b1"][0] = 0
    held["w2"][:, 0, 1, 1] = 20
    case = Case(models.model(WIDE, held))
    cause = case.cause("narrow")

    assert cause.kind == "weight-outlier"
    assert cause.evidence.startswith("outliers in its weight: the largest is ")
    assert case.gain(cause, tmp_path, IMAGES) > 3


def test_an_outlier_in_an_activation(tmp_path: Path) -> None:
    """One broken pixel; the images without it are better for the cure."""
    images = IMAGES.copy()
    images[3, 1, 5, 5] = 60
    case = Case(models.conv_relu_net(), images=images)
    cause = case.cause("conv1")

    assert (cause.kind, cause.remedy) == ("outlier", "observer = \"percentile\" for 'input'")
    assert case.gain(cause, tmp_path, np.delete(images, 3, axis=0)) > 3


def test_a_range_that_saturates(tmp_path: Path) -> None:
    """As a table from another data set, or an edited plan, would have it."""
    case = Case(models.conv_relu_net())
    tensor = next(
        t.tensor
        for t in case.plan.quantized
        if any("conv2" in r for r in t.readers or [])
        or t.tensor == str(case.graph.nodes[1].outputs[0].name)
    )
    case.edited(tensor, 0.3)
    cause = case.cause("conv2")

    assert (cause.kind, cause.remedy) == ("saturation", "observer = \"minmax\" for 'conv1'")
    assert case.gain(cause, tmp_path, IMAGES) > 6


def test_a_range_that_is_wasted(tmp_path: Path) -> None:
    """Nothing that was seen asks for the grid that the plan has."""
    case = Case(models.conv_relu_net())
    case.edited("input", 40)
    cause = case.cause("conv1")

    assert (cause.kind, cause.remedy) == ("wasted-range", "observer = \"minmax\" for 'input'")
    assert "grid is 40 times as wide" in cause.evidence
    assert case.gain(cause, tmp_path, IMAGES) > 10


def test_a_loud_channel(tmp_path: Path) -> None:
    """It fills the grid alone; no range is right for it and for the others."""
    proto = changed(models.conv_relu_net(), "w1", loud(8, 2, 50))
    reader = np.ones((16, 8, 1, 1), np.float32)
    reader[:, 2] = 0.002  # or the loud channel drowns what the quiet ones lose
    case = Case(changed(proto, "w2", reader))
    cause = case.cause("conv2")

    assert (cause.kind, cause.remedy) == ("channels", "precision = \"float\" for it and 'conv1'")
    assert cause.evidence.startswith("channel 2 of its input reaches ")
    assert case.gain(cause, tmp_path, IMAGES) > 3


HEAD = """
g (float[N,3,16,16] input) => (float[N,6,16,16] y) {
    [trunk] t = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (input, w1, b1)
    r = Relu (t)
    [head] y = Conv <kernel_shape=[1,1]> (r, w2, b2)
}
"""


def test_a_head_of_different_quantities(tmp_path: Path) -> None:
    """Coordinates of hundreds beside scores below 1: the scores get two or three of all steps."""
    held = models.weights(3, w1=(8, 3, 3, 3), b1=(8,), w2=(6, 8, 1, 1), b2=(6,))
    held["w2"][:2] *= 300
    case = Case(models.model(HEAD, held))
    cause = case.cause("head")

    assert (cause.kind, cause.remedy) == ("mixed-head", 'precision = "float"')
    assert cause.evidence.startswith("detector head: its 6 output channels share one grid")
    assert case.gain(cause, tmp_path, IMAGES, slice(2, 6)) > 20


JOINED = """
g (float[N,3,16,16] input) => (float[N,C,16,16] y) {
    [left] a = Conv <kernel_shape=[1,1]> (input, w1, b1)
    [right] b = Conv <kernel_shape=[1,1]> (input, w2, b2)
    [join] c = Concat <axis=1> (a, b)
    LAST
}
"""


@pytest.mark.parametrize("kind", ["shared-grid", "mixed-head"])
def test_a_grid_that_is_shared(kind: str, tmp_path: Path) -> None:
    """Concat forces the range of the loud branch on the quiet one; before an output it is a head."""
    held = models.weights(
        3, w1=(4, 3, 1, 1), b1=(4,), w2=(4, 3, 1, 1), b2=(4,), w3=(5, 8, 1, 1), b3=(5,)
    )
    held["w2"] *= 200
    held["w3"][:, 4:] = 0
    head = kind == "mixed-head"
    last = "[end] y = Neg (c)" if head else "[mix] y = Conv <kernel_shape=[1,1]> (c, w3, b3)"
    text = JOINED.replace("LAST", last).replace("float[N,C", "float[N,8" if head else "float[N,5")
    case = Case(models.model(text, {k: v for k, v in held.items() if not head or "3" not in k}))
    plan = case.plan
    case.plan = replace(  # as a chip plans that joins: one grid for both, and an integer Concat
        plan,
        tensors={**plan.tensors, "a": replace(plan.tensors["b"], tensor="a")},
        layers={**plan.layers, "join": replace(plan.layers["join"], precision="int8")},
    )
    cause = case.cause("join")

    others = "" if head else " for it and 'mix'"
    assert (cause.kind, cause.remedy) == (kind, f'precision = "float"{others}')
    assert "shares a grid with 'b'" in cause.evidence
    assert cause.evidence.startswith("detector head: ") == head
    assert case.gain(cause, tmp_path, IMAGES, slice(0, 4)) > 20


TAIL = """
g (float[N,3,16,16] input) => (float[N,4,16,16] y) {
    [logits] t = Conv <kernel_shape=[1,1]> (input, w1, b1)
    [softmax] p = Softmax <axis=1> (t)
    [reader] y = Conv <kernel_shape=[1,1]> (p, w2, b2)
}
"""


def test_a_tail_that_rounds_to_zero(tmp_path: Path) -> None:
    """Of a softmax over many classes nearly all is less than half a step of 1 / 255."""
    held = models.weights(5, w1=(200, 3, 1, 1), b1=(200,), w2=(4, 200, 1, 1), b2=(4,))
    held["b1"][0] = 8  # one class nearly always wins, and the reader looks at the others
    held["w2"][:, 0] = 0
    held["b2"][:] = 0
    case = Case(models.model(TAIL, held))
    cause = case.cause("reader")

    assert (cause.kind, cause.remedy) == ("tail", 'precision = "float"')
    assert cause.evidence.startswith("its input comes out of a Softmax, and ")
    assert case.gain(cause, tmp_path, IMAGES) > 3


def test_the_first_and_the_last_layer(tmp_path: Path) -> None:
    """Without other evidence it is their place that makes them dear."""
    held = models.weights(3, w1=(8, 3, 3, 3), b1=(8,), w2=(6, 8, 1, 1), b2=(6,))
    case = Case(models.model(HEAD, held))
    for layer, kind in (("trunk", "first"), ("head", "last")):
        cause = case.cause(layer)

        assert (cause.kind, cause.remedy) == (kind, 'precision = "float"')
        assert case.gain(cause, tmp_path, IMAGES) > 0.2


def test_the_strongest_cause_comes_first_and_the_innocent_half_is_left_out() -> None:
    """Evidence without effect sends people the wrong way."""
    rule = Rule(match="conv1", weights="per-tensor")
    case = Case(changed(models.conv_relu_net(), "w1", loud(8, 0, 20)), Recipe(rules=(rule,)))
    batch = batch_of({"input": IMAGES}, len(IMAGES))
    rows, analysis = measured(case.graph, case.plan, case.profile, [batch])
    row = replace(next(r for r in rows if r.layer == "conv1"), saturation=0.5)

    def kinds(share: float) -> list[str]:
        known = replace(analysis.layers["conv1"], weight_share=share)
        found = find_causes(case.all, row, known)
        assert [c.strength for c in found] == sorted((c.strength for c in found), reverse=True)
        return [c.kind for c in found]

    assert kinds(0.5) == ["saturation", "weight-scale", "first"]
    assert kinds(0.1) == ["saturation", "first"]
    assert kinds(0.9) == ["weight-scale", "first"]
    assert kinds(float("nan")) == ["saturation", "weight-scale", "first"]


def test_a_remedy_is_one_that_the_target_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip with one scale a weight, or one observer, is not told to use another."""
    factor = loud(12, 0, 100)
    weight = Case(
        changed(models.depthwise_net(), "w2", factor),
        Recipe(rules=(Rule(match="depthwise", weights="per-tensor"),)),
    )
    range_ = Case(models.conv_relu_net())
    range_.edited("input", 40)
    chip = replace(
        TARGETS["onnxruntime"], observers=("entropy",), per_tensor_ops=frozenset({"Conv"})
    )
    monkeypatch.setattr(causes, "TARGETS", {"onnxruntime": chip})

    found = [weight.cause("depthwise"), range_.cause("conv1")]
    assert [c.kind for c in found] == ["weight-scale", "wasted-range"]
    assert [c.remedy for c in found] == ['precision = "float"'] * 2
    assert [c.place for c in found] == ["depthwise", "conv1"]


def test_a_rule_is_written_for_any_name(tmp_path: Path) -> None:
    """Brackets, stars, quotes, line breaks: the rule is about that node and no other."""
    for name in ('a[0]*?"\\\n', "\x7f\u202e'''", "<b>", "é\t"):
        cause = Cause(
            kind="outlier", strength=2, evidence="", key="precision", value="float", place=name
        )
        path = tmp_path / "r.toml"
        path.write_text(cause.recipe("onnx*"), encoding="utf-8", newline="\n")
        (rule,) = load_recipe(path, list(OBSERVERS)).rules

        assert rule.applies(name, "Conv")
        assert not rule.applies(name.replace("a", "b") + "0", "Conv")
        assert rule.target == "onnx[*]"
