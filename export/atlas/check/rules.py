"""The rules about Atlas deploy models and side files: number and one line each."""

__all__ = ["RULES"]


RULES: dict[str, str] = {
    "atlas-1": "One opset_import, of ONNX's own domain, 11 to 18; 11 for CANN 5 and 6.",
    "atlas-2": "Operators are ONNX's or AscendQuant, AscendDequant, AscendAntiQuant, AscendWeightQuant.",
    "atlas-3": "No quantizer or integer operator of ONNX is left.",
    "atlas-4": "AscendQuant has scale and offset of type FLOAT and dst_type STRING 'INT8'.",
    "atlas-5": "AscendQuant's scale is 1 / step with a step AMCT takes; sqrt_mode is absent.",
    "atlas-6": "AscendQuant's offset is an integer from -128 to 127.",
    "atlas-7": "AscendQuant and record.txt say the same step and offset.",
    "atlas-8": "An int8 layer reads one AscendQuant, and one AscendDequant alone reads it.",
    "atlas-9": "Only int8 layers and AscendAntiQuant read an AscendQuant.",
    "atlas-10": "AscendDequant has a uint64 initializer of one axis, and dtype 0 or 1.",
    "atlas-11": "deq_scale has zero high bits, a positive float32, and is scale_d * scale_w.",
    "atlas-12": "Gemm, MatMul and AveragePool have one deq_scale; convolutions one or one a channel.",
    "atlas-13": "deq_scale beyond float16's normal range loses up to 2**-10 on Ascend310.",
    "atlas-14": "Weights are int8 initializers in the float layout; a Gemm's is [K, N].",
    "atlas-15": "Biases are int32 initializers, one a channel, with room to add.",
    "atlas-16": "No sum can leave int32.",
    "atlas-17": "No float constant at an int8 layer, no int8 weight at a float one.",
    "atlas-18": "Operators that compute in float get no int8; an AscendAntiQuant mirrors its AscendQuant.",
    "atlas-19": "Dilations and kernels that the INT8 operators take; no global AveragePool.",
    "atlas-20": "A convolution of 16 input channels or fewer gains nothing from INT8.",
    "atlas-21": "Names are unique and given; record.txt has one entry for each int8 layer.",
    "atlas-22": "record.txt parses, and its numbers are what AMCT takes.",
    "atlas-23": "No attribute op_data_type is left.",
    "atlas-24": "Inputs are float32 with their names, and their sizes are fixed for ATC.",
    "atlas-25": "Nodes are in order, every output is made and is float, no AscendQuant is idle.",
    "atlas-26": "atc.sh has --framework=5, a chip, and the inputs' names and sizes.",
    "atlas-27": "AIPP has whole means of 0 to 255 and positive 1 / std, and normalizes once.",
    "atlas-28": "The integers equal the simulation bit for bit and are near the float model.",
    "atlas-29": "int64 indices are cast before they meet int32 arithmetic.",
    "atlas-30": "Weights outside the model are in its folder.",
}
"""One line for each rule, in the order of its number."""
