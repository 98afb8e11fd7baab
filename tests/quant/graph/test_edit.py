"""Edits of a graph: names stay unique, readers move, and what nobody reads goes."""

import numpy as np
import onnx_ir as ir

from quant.graph.edit import GraphEditor
from quant.graph.session import open_session
from tests.models import conv_relu_net, image


def editor() -> GraphEditor:
    return GraphEditor(ir.from_proto(conv_relu_net()))


def test_a_name_that_is_taken_gets_another() -> None:
    """Two constants of one name would silently be one."""
    edit = editor()

    assert [edit.constant("w1", np.zeros(1)).name for _ in range(2)] == ["w1_", "w1__"]
    node = edit.node("Relu", [edit.values["a"]], {}, ("conv1", "b"))
    assert (node.name, node.outputs[0].name) == ("conv1_", "b_")


def test_a_node_put_behind_another_takes_its_readers_and_its_name() -> None:
    """Tensors keep their names for the plan, and the network its output."""
    edit = editor()
    feeds = {"input": image(batch=1)}
    (before,) = open_session(edit.model.clone(), threads=1).run(None, feeds)
    last = next(n for n in edit.model.graph if n.name == "fc")
    two = edit.constant("two", np.float32([2.0]))
    edit.behind(last, edit.node("Mul", [last.outputs[0], two], {}, ("twice", "twice")))
    edit.finish()

    assert [v.name for v in edit.model.graph.outputs] == ["output"]
    (after,) = open_session(edit.model, threads=1).run(None, feeds)
    assert np.array_equal(after, 2 * before)


def test_a_constant_that_replaces_another_gets_its_name() -> None:
    """The old one goes where nobody else reads it."""
    edit = editor()
    node = next(n for n in edit.model.graph if n.name == "fc")
    edit.replace(node, 2, np.full(10, 7.0, np.float32))
    edit.finish()

    held = edit.model.graph.initializers["b3"].const_value
    assert held is not None
    assert held.numpy().tolist() == [7.0] * 10
