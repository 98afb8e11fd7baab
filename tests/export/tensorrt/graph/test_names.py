"""Names that break TensorRT's lists and caches are replaced, the same way in every file."""

import onnx_ir as ir

from quant.export.tensorrt.graph.names import clean_names
from tests.models import conv_relu_net


def named(nodes: list[str], tensors: list[str]) -> ir.Model:
    """Return the small network with these names at its first nodes and their outputs."""
    built = ir.from_proto(conv_relu_net())
    for node, name, tensor in zip(built.graph, nodes, tensors, strict=False):
        node.name, node.outputs[0].name = name, tensor
    return built


def names(built: ir.Model) -> tuple[list[str | None], list[str | None]]:
    nodes = list(built.graph)
    return [n.name for n in nodes][:4], [n.outputs[0].name for n in nodes][:4]


def test_what_breaks_lists_becomes_an_underscore_and_stays_unique() -> None:
    built = named(["a,b", "a:b", "a_b", "it's*\n"], ["t: u", "t_u", "v\nw", "x:0"])
    renames = clean_names(built)

    assert names(built) == (["a_b_1", "a_b_2", "a_b", "it_s__"], ["t_u_1", "t_u", "v_w", "x:0"])
    assert renames.nodes == {"a,b": "a_b_1", "a:b": "a_b_2", "it's*\n": "it_s__"}
    assert renames.tensors == {"t: u": "t_u_1", "v\nw": "v_w"}


def test_good_names_stay_and_nothing_is_reported() -> None:
    built = ir.from_proto(conv_relu_net())
    before = ir.to_proto(built).SerializeToString(deterministic=True)
    renames = clean_names(built)

    assert (renames.nodes, renames.tensors) == ({}, {})
    assert ir.to_proto(built).SerializeToString(deterministic=True) == before


def test_a_twin_gets_the_names_that_were_decided_and_its_own_give_way() -> None:
    """The Q/DQ graph has nodes that the float graph has not, and must not steal their names."""
    first = clean_names(named(["a,b"], ["t: u"]))
    twin = named(["a,b", "a_b"], ["t: u", "t_u"])
    renames = clean_names(twin, first)

    assert names(twin)[0][:2] == ["a_b", "a_b_1"]
    assert names(twin)[1][:2] == ["t_u", "t_u_1"]
    assert renames.nodes == {"a,b": "a_b", "a_b": "a_b_1"}


def test_inputs_and_outputs_are_renamed_too() -> None:
    built = ir.from_proto(conv_relu_net())
    built.graph.inputs[0].name, built.graph.outputs[0].name = "in: x", "out\n"
    renames = clean_names(built)

    assert renames.tensors == {"in: x": "in_x", "out\n": "out_"}
    assert [v.name for v in (*built.graph.inputs, *built.graph.outputs)] == ["in_x", "out_"]
