"""Arguments as values: names of folders, and shares as numbers or text."""

import onnx
import pytest

import quant
from quant.api.arguments import name_of, share_of
from quant.load.given_model import GivenModel


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("net", "net"),
        ("Model from PaddlePaddle.", "Model-from-PaddlePaddle"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "model"),
        ("a\nb\0c:d", "a-b-c-d"),
        ("", "model"),
    ],
)
def test_the_name_of_a_graph_becomes_a_folder_and_nothing_else(name: str, folder: str) -> None:
    proto = onnx.ModelProto()
    proto.graph.name = name

    assert name_of(GivenModel(proto)) == folder


@pytest.mark.parametrize(("given", "share"), [(0.01, 0.01), ("1%", 0.01), (1.0, 1.0), (0, 0.0)])
def test_a_share_is_a_number_or_a_percentage(given: float | str, share: float) -> None:
    assert share_of(given, "max_drop") == share


@pytest.mark.parametrize("given", [1, "1", 2.0, -0.1, "x", True])
def test_what_may_be_two_shares_is_refused(given: object) -> None:
    with pytest.raises(quant.InputError, match=r"^max_drop: a share is written 1% or 0\.01"):
        share_of(given, "max_drop")
