"""The rules about TensorRT's graphs and side files: number and one line each."""

__all__ = ["RULES"]


RULES: dict[str, str] = {
    "tensorrt-1": "every QuantizeLinear and DequantizeLinear has a zero point",
    "tensorrt-2": "integers are int8, float8e4m3fn or int4, never uint8, int16 or int32",
    "tensorrt-3": "zero points are constant, all zero, and as many as scales",
    "tensorrt-4": "scales are constant floats, finite and above 0",
    "tensorrt-5": "only constants have a scale per channel",
    "tensorrt-6": "many scales come with a written axis of that length",
    "tensorrt-7": "weight scales lie along the output channels of their operator",
    "tensorrt-8": "the two of a pair agree, and only DequantizeLinear reads integers",
    "tensorrt-9": "a bias is a float constant, one per output channel, and not quantized",
    "tensorrt-10": "every operator is one that the parser imports",
    "tensorrt-11": "the opset is high enough for the graph and low enough for the version",
    "tensorrt-12": "version 8: weights are float32 with Q and DQ, not stored integers",
    "tensorrt-13": "strong typing: scales and operands have one type, nothing is cast implicitly",
    "tensorrt-14": "a weighted layer has both inputs dequantized, or none",
    "tensorrt-15": "of a residual Add only the skip operand is dequantized",
    "tensorrt-16": "a residual Add that integer layers read has a quantizer behind it",
    "tensorrt-17": "nothing stands between a layer and its BatchNormalization, Relu or Clip",
    "tensorrt-18": "a tensor is quantized once",
    "tensorrt-19": "a Concat of integers has one scale for its operands and its result",
    "tensorrt-20": "an Add, Mul or average pool that reads integers writes integers",
    "tensorrt-21": "Softmax, LayerNormalization, Gelu, Erf, Sigmoid, Exp and Resize read floats",
    "tensorrt-22": "an integer convolution has channels for which there is a fast kernel",
    "tensorrt-23": "an integer Gemm or MatMul is no vector and has K and N of 16 or more",
    "tensorrt-24": "FP8: the first and last layers have 16 input channels or more",
    "tensorrt-25": "INT4 is for weights of Gemm and MatMul, even last axis, one blocked axis",
    "tensorrt-26": "weights lie within their grid",
    "tensorrt-27": "node names are unique and fit trtexec's lists; tensor names fit a cache",
    "tensorrt-28": "8-bit initializers go to quantizers directly",
    "tensorrt-29": "a calibration cache is well-formed, complete and beside a float model",
    "tensorrt-30": "version 11: no calibration cache and no list of layer precisions",
}
"""Rule to its requirement."""
