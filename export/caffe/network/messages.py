"""The messages of Caffe's protobuf format, and those that NNIE adds to it.

Names and numbers of fields are those of Caffe 1.0 (BVLC `caffe.proto`); Permute, Normalize and
`norm_param` those of its SSD branch. NNIE's messages have no public numbers, so they get free ones
from `EXTENSION` on: only their names matter, because the mapper reads the structure as text.
"""

__all__ = ["EXTENSION", "message"]

from functools import cache
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

EXTENSION = 200
"""Field numbers of LayerParameter from here on are not Caffe 1.0's."""

# A field is: number name type[* repeated][= default]; one in capitals is an enumeration.
MESSAGES: dict[str, str] = {
    "BlobShape": "1 dim int64*",
    "BlobProto": """7 shape BlobShape, 5 data float*, 6 diff float*, 8 double_data double*,
        9 double_diff double*, 1 num int32 = 0, 2 channels int32 = 0, 3 height int32 = 0,
        4 width int32 = 0""",
    "FillerParameter": """1 type string = constant, 2 value float = 0, 3 min float = 0,
        4 max float = 1, 5 mean float = 0, 6 std float = 1, 7 sparse int32 = -1,
        8 variance_norm FAN_IN:0|FAN_OUT:1|AVERAGE:2""",
    "NetParameter": """1 name string, 3 input string*, 8 input_shape BlobShape*,
        4 input_dim int32*, 5 force_backward bool = false, 6 state NetState,
        7 debug_info bool = false, 100 layer LayerParameter*""",
    "NetState": "1 phase TRAIN:0|TEST:1 = TEST, 2 level int32 = 0, 3 stage string*",
    "NetStateRule": """1 phase TRAIN:0|TEST:1, 2 min_level int32, 3 max_level int32,
        4 stage string*, 5 not_stage string*""",
    "ParamSpec": """1 name string, 2 share_mode STRICT:0|PERMISSIVE:1, 3 lr_mult float = 1,
        4 decay_mult float = 1""",
    "LayerParameter": """1 name string, 2 type string, 3 bottom string*, 4 top string*,
        10 phase TRAIN:0|TEST:1, 5 loss_weight float*, 6 param ParamSpec*, 7 blobs BlobProto*,
        11 propagate_down bool*, 8 include NetStateRule*, 9 exclude NetStateRule*,
        103 argmax_param ArgMaxParameter, 104 concat_param ConcatParameter,
        106 convolution_param ConvolutionParameter, 108 dropout_param DropoutParameter,
        110 eltwise_param EltwiseParameter, 111 exp_param ExpParameter,
        117 inner_product_param InnerProductParameter, 118 lrn_param LRNParameter,
        120 mvn_param MVNParameter, 121 pooling_param PoolingParameter,
        122 power_param PowerParameter, 123 relu_param ReLUParameter,
        124 sigmoid_param SigmoidParameter, 125 softmax_param SoftmaxParameter,
        126 slice_param SliceParameter, 127 tanh_param TanHParameter,
        128 threshold_param ThresholdParameter, 131 prelu_param PReLUParameter,
        132 spp_param SPPParameter, 133 reshape_param ReshapeParameter, 134 log_param LogParameter,
        135 flatten_param FlattenParameter, 136 reduction_param ReductionParameter,
        138 tile_param TileParameter, 139 batch_norm_param BatchNormParameter,
        140 elu_param ELUParameter, 141 bias_param BiasParameter, 142 scale_param ScaleParameter,
        143 input_param InputParameter, 144 crop_param CropParameter,
        146 recurrent_param RecurrentParameter, 202 permute_param PermuteParameter,
        206 norm_param NormalizeParameter, 8001 upsample_param UpsampleParameter,
        8002 pass_through_param PassThroughParameter, 8003 custom_param CustomParameter,
        8004 proposal_param ProposalParameter, 8005 roi_pooling_param ROIPoolingParameter,
        8006 psroi_pooling_param PSROIPoolingParameter, 8007 interp_param InterpParameter,
        8008 matmul_param MatMulParameter""",
    "ArgMaxParameter": "1 out_max_val bool = false, 2 top_k uint32 = 1, 3 axis int32",
    "BatchNormParameter": """1 use_global_stats bool, 2 moving_average_fraction float = 0.999,
        3 eps float = 1e-5""",
    "BiasParameter": "1 axis int32 = 1, 2 num_axes int32 = 1, 3 filler FillerParameter",
    "ConcatParameter": "2 axis int32 = 1, 1 concat_dim uint32 = 1",
    "ConvolutionParameter": """1 num_output uint32, 2 bias_term bool = true, 3 pad uint32*,
        4 kernel_size uint32*, 6 stride uint32*, 18 dilation uint32*, 9 pad_h uint32 = 0,
        10 pad_w uint32 = 0, 11 kernel_h uint32, 12 kernel_w uint32, 13 stride_h uint32,
        14 stride_w uint32, 5 group uint32 = 1, 7 weight_filler FillerParameter,
        8 bias_filler FillerParameter, 15 engine DEFAULT:0|CAFFE:1|CUDNN:2, 16 axis int32 = 1,
        17 force_nd_im2col bool = false""",
    "CropParameter": "1 axis int32 = 2, 2 offset uint32*",
    "CustomParameter": "1 shape BlobShape*",
    "DropoutParameter": "1 dropout_ratio float = 0.5",
    "ELUParameter": "1 alpha float = 1",
    "EltwiseParameter": """1 operation PROD:0|SUM:1|MAX:2 = SUM, 2 coeff float*,
        3 stable_prod_grad bool = true""",
    "ExpParameter": "1 base float = -1, 2 scale float = 1, 3 shift float = 0",
    "FlattenParameter": "1 axis int32 = 1, 2 end_axis int32 = -1",
    "InnerProductParameter": """1 num_output uint32, 2 bias_term bool = true,
        3 weight_filler FillerParameter, 4 bias_filler FillerParameter, 5 axis int32 = 1,
        6 transpose bool = false""",
    "InputParameter": "1 shape BlobShape*",
    "InterpParameter": """1 height int32 = 0, 2 width int32 = 0, 3 zoom_factor int32 = 1,
        4 shrink_factor int32 = 1, 5 pad_beg int32 = 0, 6 pad_end int32 = 0""",
    "LRNParameter": """1 local_size uint32 = 5, 2 alpha float = 1, 3 beta float = 0.75,
        4 norm_region ACROSS_CHANNELS:0|WITHIN_CHANNEL:1, 5 k float = 1,
        6 engine DEFAULT:0|CAFFE:1|CUDNN:2""",
    "LogParameter": "1 base float = -1, 2 scale float = 1, 3 shift float = 0",
    "MVNParameter": """1 normalize_variance bool = true, 2 across_channels bool = false,
        3 eps float = 1e-9""",
    "MatMulParameter": "1 dim_1 uint32, 2 dim_2 uint32, 3 dim_3 uint32",
    "NormalizeParameter": """1 across_spatial bool = true, 2 scale_filler FillerParameter,
        3 channel_shared bool = true, 4 eps float = 1e-10""",
    "PReLUParameter": "1 filler FillerParameter, 2 channel_shared bool = false",
    "PSROIPoolingParameter": "1 spatial_scale float, 2 output_dim int32, 3 group_size int32",
    "PassThroughParameter": """1 num_output uint32 = 0, 2 block_height uint32 = 0,
        3 block_width uint32 = 0""",
    "PermuteParameter": "1 order uint32*",
    "PoolingParameter": """1 pool MAX:0|AVE:1|STOCHASTIC:2, 4 pad uint32 = 0, 9 pad_h uint32 = 0,
        10 pad_w uint32 = 0, 2 kernel_size uint32, 5 kernel_h uint32, 6 kernel_w uint32,
        3 stride uint32 = 1, 7 stride_h uint32, 8 stride_w uint32,
        11 engine DEFAULT:0|CAFFE:1|CUDNN:2, 12 global_pooling bool = false""",
    "PowerParameter": "1 power float = 1, 2 scale float = 1, 3 shift float = 0",
    "ProposalParameter": """1 feat_stride uint32 = 16, 2 base_size uint32 = 16,
        3 min_size uint32 = 16, 4 ratio float*, 5 scale float*, 6 pre_nms_topn uint32 = 6000,
        7 post_nms_topn uint32 = 300, 8 nms_thresh float = 0.7""",
    "ROIPoolingParameter": "1 pooled_h uint32 = 0, 2 pooled_w uint32 = 0, 3 spatial_scale float = 1",
    "ReLUParameter": "1 negative_slope float = 0, 2 engine DEFAULT:0|CAFFE:1|CUDNN:2",
    "RecurrentParameter": """1 num_output uint32 = 0, 2 weight_filler FillerParameter,
        3 bias_filler FillerParameter, 4 debug_info bool = false, 5 expose_hidden bool = false""",
    "ReductionParameter": """1 operation SUM:1|ASUM:2|SUMSQ:3|MEAN:4 = SUM, 2 axis int32 = 0,
        3 coeff float = 1""",
    "ReshapeParameter": "1 shape BlobShape, 2 axis int32 = 0, 3 num_axes int32 = -1",
    "SPPParameter": """1 pyramid_height uint32, 2 pool MAX:0|AVE:1|STOCHASTIC:2,
        6 engine DEFAULT:0|CAFFE:1|CUDNN:2""",
    "ScaleParameter": """1 axis int32 = 1, 2 num_axes int32 = 1, 3 filler FillerParameter,
        4 bias_term bool = false, 5 bias_filler FillerParameter""",
    "SigmoidParameter": "1 engine DEFAULT:0|CAFFE:1|CUDNN:2",
    "SliceParameter": "3 axis int32 = 1, 2 slice_point uint32*, 1 slice_dim uint32 = 1",
    "SoftmaxParameter": "1 engine DEFAULT:0|CAFFE:1|CUDNN:2, 2 axis int32 = 1",
    "TanHParameter": "1 engine DEFAULT:0|CAFFE:1|CUDNN:2",
    "ThresholdParameter": "1 threshold float = 0",
    "TileParameter": "1 axis int32 = 1, 2 tiles int32",
    "UpsampleParameter": "1 scale int32 = 2",
}
PACKED = {"BlobShape", "BlobProto"}
SCALARS = ("int32", "int64", "uint32", "float", "double", "bool", "string")


def message(name: str) -> Any:
    """Return a new, empty message of that type: `message("NetParameter")`."""
    return _classes()[name]()


@cache
def _classes() -> dict[str, Any]:
    """Build the classes, in a pool of their own: a program may have Caffe's own loaded as well."""
    file = descriptor_pb2.FileDescriptorProto(name="nnie_caffe.proto", package="caffe")
    for name, fields in MESSAGES.items():
        kind = file.message_type.add(name=name)
        for text in fields.split(","):
            _field(kind, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptors = {n: pool.FindMessageTypeByName(f"caffe.{n}") for n in MESSAGES}
    return {name: message_factory.GetMessageClass(kind) for name, kind in descriptors.items()}


def _field(kind: Any, text: str) -> None:
    """Add the field that a line of the table describes."""
    declared, _, default = (part.strip() for part in text.partition("="))
    number, name, type_name = declared.split()
    repeated = type_name.endswith("*")
    type_name = type_name.rstrip("*")
    proto = descriptor_pb2.FieldDescriptorProto
    field = kind.field.add(name=name, number=int(number))
    field.label = proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL
    if ":" in type_name:
        choice = kind.enum_type.add(name=name.title().replace("_", ""))
        for value in type_name.split("|"):
            label, _, index = value.partition(":")
            choice.value.add(name=label, number=int(index))
        field.type, field.type_name = proto.TYPE_ENUM, f".caffe.{kind.name}.{choice.name}"
    elif type_name in SCALARS:
        field.type = getattr(proto, f"TYPE_{type_name.upper()}")
    else:
        field.type, field.type_name = proto.TYPE_MESSAGE, f".caffe.{type_name}"
    if default:
        field.default_value = default
    if repeated and kind.name in PACKED and type_name in SCALARS:
        field.options.packed = True
