"""Inferred shapes of blobs and weights are those that OpenCV's Caffe importer runs with."""

from typing import Any

import cv2
import numpy as np
import pytest

from quant.export.caffe.network.files import blob_of, caffemodel_bytes, parse_prototxt
from quant.export.caffe.network.messages import message
from quant.export.caffe.network.shapes import pooled_length, tops_of
from quant.export.nnie.check.weights import expected_blobs
from quant.export.nnie.graph.mapper_net import net_of

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { %s } } }\n'

LAYERS = [
    'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 }',
    'type: "Convolution" convolution_param { num_output: 6 kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0 }',
    """type: "Convolution" convolution_param { num_output: 8 kernel_size: 3 dilation: 2 group: 4
        bias_term: false }""",
    """type: "Deconvolution" convolution_param { num_output: 8 kernel_size: 4 stride: 2 pad: 1
        group: 2 }""",
    'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 }',
    'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }',
    'type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 3 pad: 1 }',
    'type: "Pooling" pooling_param { pool: AVE kernel_h: 2 kernel_w: 5 stride_h: 2 stride_w: 1 }',
    'type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
    'type: "InnerProduct" inner_product_param { num_output: 5 }',
    'type: "Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } }',
    'type: "Flatten"',
    'type: "Permute" permute_param { order: 0 order: 2 order: 3 order: 1 }',
    'type: "Scale" scale_param { bias_term: true }',
    'type: "BatchNorm" batch_norm_param { use_global_stats: true }',
    'type: "PReLU"',
    'type: "Softmax" softmax_param { axis: 1 }',
    'type: "Concat" bottom: "x" concat_param { axis: 2 }',
    'type: "Eltwise" bottom: "x"',
    'type: "Power" power_param { power: 2 }',
]


def run(text: str, dims: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the last top's shape, ours and OpenCV's, with weights in the shapes we want."""
    header = INPUT % " ".join(f"dim: {d}" for d in dims)
    proto = parse_prototxt(f'{header}layer {{ name: "y" top: "y" bottom: "x" {text} }}', "t")
    net = net_of(proto)
    rng = np.random.default_rng(0)
    model = message("NetParameter")
    model.CopyFrom(proto)
    for shape in expected_blobs(net.layers[0]) or []:
        model.layer[1].blobs.append(blob_of(rng.uniform(0.5, 1, shape)))
    loaded: Any = cv2.dnn.readNetFromCaffe(
        np.frombuffer(str(proto).encode(), np.uint8),
        np.frombuffer(caffemodel_bytes(model), np.uint8),
    )
    loaded.setInput(rng.normal(size=dims).astype(np.float32), "x")
    ours = net.layers[0].tops[0]
    assert ours is not None
    return ours, tuple(loaded.forward("y").shape)


@pytest.mark.parametrize("size", [(12, 13), (7, 9), (16, 16)])
@pytest.mark.parametrize("text", LAYERS)
def test_a_layer_has_the_shape_and_the_weights_that_opencv_runs(
    text: str, size: tuple[int, int]
) -> None:
    """The rules about shapes are only as good as these."""
    ours, theirs = run(text, (1, 8, *size))

    assert ours == theirs


def test_the_pool_of_a_resnet_stem_rounds_up() -> None:
    """The example of the mapper's users: 57 rows where the framework has 56."""
    ours, theirs = run(LAYERS[5], (1, 2, 112, 112))

    assert ours == theirs == (1, 2, 57, 57)


@pytest.mark.parametrize(
    ("text", "bottom", "top"),
    [
        ('type: "Upsample" upsample_param { scale: 2 }', (1, 3, 4, 5), (1, 3, 8, 10)),
        (
            """type: "PassThrough"
            pass_through_param { num_output: 12 block_height: 2 block_width: 2 }""",
            (1, 3, 4, 6),
            (1, 12, 2, 3),
        ),
        ('type: "CReLU"', (1, 3, 4, 6), (1, 6, 4, 6)),
        ('type: "Interp" interp_param { height: 7 width: 9 }', (1, 3, 4, 6), (1, 3, 7, 9)),
        ('type: "Interp" interp_param { zoom_factor: 2 }', (1, 3, 4, 6), (1, 3, 7, 11)),
        ('type: "DepthwiseConv" convolution_param { kernel_size: 3 }', (1, 3, 4, 6), (1, 3, 2, 4)),
        (
            'type: "Custom" custom_param { shape { dim: 1 dim: 2 } }',
            (1, 3, 4, 6),
            (1, 2),
        ),
    ],
)
def test_layers_that_only_nnie_has(
    text: str, bottom: tuple[int, ...], top: tuple[int, ...]
) -> None:
    """By hand, from what the guide says of them; Interp by its authors' formula."""
    layer = parse_prototxt(f'layer {{ top: "y" bottom: "x" {text} }}', "t").layer[0]

    assert tops_of(layer, [bottom]) == [top]


def test_a_slice_cuts_at_its_points_or_evenly() -> None:
    text = 'layer { type: "Slice" top: "a" top: "b" top: "c" slice_param { axis: 1 %s } }'

    for points, wide in (("slice_point: 1 slice_point: 4", [1, 3, 5]), ("", [3, 3, 3])):
        layer = parse_prototxt(text % points, "t").layer[0]
        assert tops_of(layer, [(1, 9, 2, 2)]) == [(1, w, 2, 2) for w in wide]


@pytest.mark.parametrize(
    "text",
    [
        'type: "Nonsense"',
        'type: "Pooling" pooling_param { kernel_size: 2 stride: 0 }',
        'type: "Permute" permute_param { order: 9 }',
        'type: "Concat" concat_param { axis: 7 }',
        'type: "Slice" slice_param { axis: 7 }',
        'type: "PassThrough"',
        'type: "Reshape" reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 0 dim: 0 } }',
        'type: "Interp" interp_param { shrink_factor: 0 }',
        'type: "Flatten" flatten_param { axis: 9 }',
    ],
)
def test_nonsense_has_no_shape_and_stops_nothing(text: str) -> None:
    """A rule names it; the check must live to say so."""
    layer = parse_prototxt(f'layer {{ top: "y" bottom: "x" {text} }}', "t").layer[0]

    tops = tops_of(layer, [(1, 3, 4, 6)])
    assert len(tops) == 1
    assert tops_of(layer, [None]) == [None]
    assert tops_of(layer, []) == [None]


def test_caffe_rounds_a_pool_up_and_begins_no_window_in_the_padding() -> None:
    """Numbers from Caffe's own formula by hand: 112 rows give 57 and, without padding, 56."""
    assert pooled_length(112, 3, 2, 1) == 57
    assert pooled_length(112, 3, 2, 0) == 56
    assert pooled_length(13, 2, 2, 0) == 7
    assert pooled_length(4, 2, 2, 1) == 3
    assert pooled_length(5, 2, 2, 1) == 3
