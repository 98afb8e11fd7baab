"""The text of `build.py`, with flags and ranges for TensorRT 8 and 10, without them for 11."""

__all__ = ["BUILD_PY"]

from collections.abc import Mapping
from types import MappingProxyType

HEAD = '''"""Build engine.plan with TensorRT's Python API: python build.py [explicit{modes}]"""

import sys
from pathlib import Path

CONFIG = {}
HERE = Path(__file__).resolve().parent


def stop(sentence):
    print(f"error: {sentence}", file=sys.stderr)
    raise SystemExit(2)


try:
    import tensorrt as trt
except ImportError:
    stop(f"the module tensorrt is missing: install TensorRT {CONFIG['major']} for this Python.")

'''

PARSER = """
def parsed(builder, flags, path, logger):
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        first = parser.get_error(0) if parser.num_errors else "no reason"
        stop(f"TensorRT cannot read {path.name}: {first}")
    return network, parser


def with_shapes(builder, config):
    if CONFIG["shapes"]:
        profile = builder.create_optimization_profile()
        for name, (least, usual, greatest) in CONFIG["shapes"].items():
            profile.set_shape(name, least, usual, greatest)
        config.add_optimization_profile(profile)

"""

PRECISIONS_AND_RANGES = '''
def with_precisions(network, config, layers):
    """Let TensorRT use int8 (and float16), and hold float layers to the plan."""
    config.set_flag(trt.BuilderFlag.INT8)
    if CONFIG["half"]:
        config.set_flag(trt.BuilderFlag.FP16)
    words = {"fp32": trt.float32, "fp16": trt.float16, "int8": trt.int8}
    if layers:
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        word = layers.get(layer.name)
        if word is not None:
            layer.precision = words[word]
            if word != "int8":
                for output in range(layer.num_outputs):
                    layer.set_output_type(output, words[word])


def with_ranges(network):
    """Give every tensor its range, which the cache holds as scales: one that the version fits."""
    ranges = json.loads((HERE / "implicit" / "dynamic_range.json").read_text(encoding="utf-8"))
    ranges = ranges["act_quant_info"]
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        tensors += [layer.get_output(i) for i in range(layer.num_outputs)]
    for tensor in tensors:
        if tensor is not None and tensor.name in ranges:
            tensor.dynamic_range = (-ranges[tensor.name], ranges[tensor.name])

'''

MAIN_IMPLICIT = """
def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else "explicit"
    if mode not in ("explicit", "implicit") or (mode == "implicit" and not CONFIG["implicit"]):
        stop(f"there is no build named {mode!r} of this export: use explicit.")
    major = int(trt.__version__.split(".")[0])
    if major != CONFIG["major"]:
        stop(f"these files are for TensorRT {CONFIG['major']}, and this is {trt.__version__}.")
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    strong = CONFIG["strongly_typed"] and mode == "explicit"
    names = trt.NetworkDefinitionCreationFlag
    flags = 1 << int(names.EXPLICIT_BATCH) if major == 8 else 0
    flags |= 1 << int(names.STRONGLY_TYPED) if strong else 0
    path = HERE / "model.onnx" if mode == "explicit" else HERE / "implicit" / "model.onnx"
    network, parser = parsed(builder, flags, path, logger)
    config = builder.create_builder_config()
    with_shapes(builder, config)
    if not strong:
        with_precisions(network, config, CONFIG[f"{mode}_layers"])
    if mode == "implicit":
        with_ranges(network)
    built = builder.build_serialized_network(network, config)
    if built is None:
        stop("TensorRT built no engine: its log above has the reason.")
    (HERE / "engine.plan").write_bytes(built)


main()
"""

MAIN_TYPED = """
def main():
    if sys.argv[1:] not in ([], ["explicit"]):
        stop(f"there is no build named {sys.argv[1]!r} of this export: use explicit.")
    major = int(trt.__version__.split(".")[0])
    if major != CONFIG["major"]:
        stop(f"these files are for TensorRT {CONFIG['major']}, and this is {trt.__version__}.")
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network, parser = parsed(builder, 0, HERE / "model.onnx", logger)
    config = builder.create_builder_config()
    with_shapes(builder, config)
    built = builder.build_serialized_network(network, config)
    if built is None:
        stop("TensorRT built no engine: its log above has the reason.")
    (HERE / "engine.plan").write_bytes(built)


main()
"""

BUILD_PY: Mapping[bool, str] = MappingProxyType(
    {
        True: HEAD.replace("{modes}", "|implicit").replace("import sys", "import json\nimport sys")
        + PARSER
        + PRECISIONS_AND_RANGES
        + MAIN_IMPLICIT,
        False: HEAD.replace("{modes}", "") + PARSER + MAIN_TYPED,
    }
)
"""The text by whether the version has ranges and per-layer precisions, as 8 and 10 do."""
