"""Prototxt and caffemodel are read and written as Caffe 1.0 does, against wire bytes by hand."""

import struct

import numpy as np
import pytest

from quant.common.errors import InputError
from quant.export.caffe.network.files import (
    blob_array,
    blob_bytes,
    blob_of,
    blob_shape,
    caffemodel_bytes,
    parse_blob,
    parse_caffemodel,
    parse_prototxt,
    print_prototxt,
)
from quant.export.caffe.network.messages import MESSAGES, message

TEXT = """name: "n"
layer {
  name: "up"
  type: "Upsample"
  bottom: "x"
  top: "up"
  upsample_param {
    scale: 2
  }
}
"""


def test_a_blob_has_the_bytes_of_caffe() -> None:
    """Field 5 is the packed data, field 7 the shape: the bytes of protobuf's documentation."""
    data = struct.pack("<2f", 1.0, -2.0)
    by_hand = b"\x2a\x08" + data + b"\x3a\x03\x0a\x01\x02"

    assert blob_of(np.array([1, -2])).SerializeToString(deterministic=True) == by_hand


def test_a_layer_has_the_numbers_of_caffe() -> None:
    """Layer 100, name 1, type 2, convolution_param 106 with num_output 1 and dilation 18."""
    inner = b"\x08\x07\x90\x01\x02"
    layer = b"\x0a\x01c\x12\x01T" + b"\xd2\x06" + bytes([len(inner)]) + inner
    net = parse_caffemodel(b"\xa2\x06" + bytes([len(layer)]) + layer, "c.caffemodel")

    assert (net.layer[0].name, net.layer[0].type) == ("c", "T")
    assert net.layer[0].convolution_param.num_output == 7
    assert list(net.layer[0].convolution_param.dilation) == [2]


def test_defaults_are_those_of_caffe() -> None:
    """A field that is left out means what it means in Caffe."""
    layer = message("LayerParameter")

    assert layer.convolution_param.bias_term is True
    assert layer.pooling_param.stride == 1
    assert layer.eltwise_param.operation == 1
    assert layer.reshape_param.num_axes == -1
    assert layer.batch_norm_param.eps == np.float32(1e-5)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_message_can_be_made_and_read_back(name: str) -> None:
    """A slip in the table would show only when the message is first needed."""
    made = message(name)

    assert made.DESCRIPTOR.name == name
    assert message(name).FromString(made.SerializeToString()) == made


def test_text_reads_back_and_blobs_stay_out_of_it() -> None:
    net = parse_prototxt(TEXT, "n.prototxt")
    net.layer[0].blobs.append(blob_of(np.zeros(3)))

    assert print_prototxt(net) == TEXT
    assert len(net.layer[0].blobs) == 1


def test_the_caffemodel_has_no_parameters_that_caffe_lacks() -> None:
    """Their field numbers are ours alone; the blobs stay, and the same net gives the same bytes."""
    net = parse_prototxt(TEXT, "n.prototxt")
    net.layer[0].blobs.append(blob_of(np.arange(3)))
    net.layer.add(name="p", type="Permute").permute_param.order.extend([0, 2, 3, 1])
    read = parse_caffemodel(caffemodel_bytes(net), "n.caffemodel")

    assert [f.name for f, _ in read.layer[0].ListFields()] == [
        "name",
        "type",
        "bottom",
        "top",
        "blobs",
    ]
    assert not read.layer[1].HasField("permute_param")
    assert net.layer[1].HasField("permute_param")
    assert caffemodel_bytes(read) == caffemodel_bytes(net)


def test_names_are_quoted() -> None:
    """A name from a model may hold anything."""
    name = 'a"b\\c\n\u00e9'
    net = message("NetParameter")
    net.layer.add(name=name, type="ReLU")

    assert parse_prototxt(print_prototxt(net), "n").layer[0].name == name
    assert print_prototxt(net).isascii()


def test_a_blob_from_before_caffe_1_has_four_lengths() -> None:
    old = message("BlobProto")
    old.num, old.channels, old.height, old.width = 1, 1, 2, 3
    old.data.extend(range(6))

    assert blob_shape(old) == (1, 1, 2, 3)
    assert np.array_equal(blob_array(old, "b"), np.arange(6).reshape(1, 1, 2, 3))


def test_doubles_are_read() -> None:
    blob = message("BlobProto")
    blob.shape.dim.append(2)
    blob.double_data.extend([1, 2])

    assert blob_array(blob, "b").tolist() == [1, 2]


def test_a_mean_image_reads_back() -> None:
    mean = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)

    assert np.array_equal(parse_blob(blob_bytes(mean), "m.binaryproto"), mean[None])


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_prototxt(text, "n.prototxt")
    return str(caught.value)


def test_an_unknown_field_is_named() -> None:
    assert refused('\nlayer { name: "p" pooling_param { ceil_mode: false } }') == (
        "n.prototxt:2: every field must be known to NNIE's Caffe dialect, and PoolingParameter has "
        "no 'ceil_mode'. Remove it."
    )


def test_broken_text_says_where() -> None:
    assert refused("layer {\n name: 3 }") == (
        "n.prototxt:2: a prototxt must be protobuf text, and reading stopped with: "
        "' name: 3 }': Expected string but found: '3'. Mend the line."
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"\xff\xff",
            (
                "n.caffemodel: a caffemodel must be a binary NetParameter, and its 2 bytes are none. "
                "Give the file that belongs to the prototxt."
            ),
        ),
        (
            b"\x12\x02\x0a\x00",
            (
                "n.caffemodel: the layers must stand in the field 'layer' of Caffe 1.0, and stand in "
                "'layers'. Convert the file with Caffe's upgrade_net_proto_binary."
            ),
        ),
    ],
)
def test_bytes_that_are_no_network_of_caffe_1_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_caffemodel(data, "n.caffemodel")

    assert str(caught.value) == said


def test_a_blob_without_its_numbers_is_refused() -> None:
    blob = blob_of(np.zeros(3))
    blob.shape.dim[0] = 4
    with pytest.raises(InputError) as caught:
        blob_array(blob, "n.caffemodel, layer 'c'")

    assert str(caught.value) == (
        "n.caffemodel, layer 'c': a blob must hold the numbers of its shape, saw 3 for [4]. "
        "Write the file again."
    )


def test_bytes_that_are_no_mean_image_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        parse_blob(b"\xff\xff", "mean.binaryproto")

    assert str(caught.value) == (
        "mean.binaryproto: a binaryproto must be a binary BlobProto, and its 2 bytes are none. "
        "Write the mean image again."
    )
