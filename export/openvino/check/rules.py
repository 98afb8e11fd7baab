"""The rules about OpenVINO's graphs: number and one line each."""

__all__ = ["RULES"]


RULES: dict[str, str] = {
    "openvino-1": "every operator is one that the ONNX reader converts",
    "openvino-2": "integers are written as Q/DQ, not as operators on integers",
    "openvino-3": "scales are constant, finite and above 0",
    "openvino-4": "a weighted layer has data and weight dequantized, or neither",
    "openvino-5": "integers have 8 bits: others are computed in float",
    "openvino-6": "an activation has one scale: several are computed in float",
    "openvino-7": "an int8 activation has zero point 0: with another, AMX computes in float",
    "openvino-8": "a weight has zero point 0: with another it is computed in float",
    "openvino-9": "weight scales lie along the output channels: else it is computed in float",
    "openvino-10": "an integer ConvTranspose has no groups and reads zero point 0",
    "openvino-11": "a Concat of integers has one grid: else what follows is computed in float",
    "openvino-12": "nothing stands between a layer and its Relu or Clip",
    "openvino-13": "on CPUs without VNNI the products of two bytes fit 16 bits",
}
"""Rule to its requirement."""
