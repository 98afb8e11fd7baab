"""The lines of Python and C++ that load an export and give it pictures, filled in."""

__all__ = ["cpp_lines", "python_lines"]

from quant.graph.prepared_graph import Graph
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment


def python_lines(graph: Graph, deployment: Deployment) -> list[str]:
    """Return a program: `image` in, `results` out, as a list of arrays."""
    told = _pictures(graph, deployment)
    lines = ["import openvino as ov"]
    if told is not None:
        lines.append("from openvino.preprocess import PrePostProcessor")
    lines += ["", "core = ov.Core()", 'model = core.read_model("model.onnx")']
    if told is not None:
        shape, mean, std = _numbers(told)
        lines += [
            "prepost = PrePostProcessor(model)",
            "image_input = prepost.input(0)",
            "image_input.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout('NHWC'))",
            *([f"image_input.tensor().set_shape({shape})"] if shape else []),
            f"image_input.model().set_layout(ov.Layout('{told.layout}'))",
            f"image_input.preprocess().convert_element_type(ov.Type.f32).mean({mean}).scale({std})",
            "model = prepost.build()",
        ]
    lines += [
        'settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}',
        'compiled = core.compile_model(model, "CPU", settings)',
        f"# {_feeds(graph, told)}",
        "results = list(compiled(feeds).values())",
    ]
    return lines


def cpp_lines(graph: Graph, deployment: Deployment) -> list[str]:
    """Return the same in C++."""
    told = _pictures(graph, deployment)
    lines = ["#include <openvino/openvino.hpp>", ""]
    lines += ["ov::Core core;", 'auto model = core.read_model("model.onnx");']
    if told is not None:
        shape, mean, std = (text.replace("[", "{").replace("]", "}") for text in _numbers(told))
        lines += [
            "ov::preprocess::PrePostProcessor prepost(model);",
            "auto& image = prepost.input(0);",
            'image.tensor().set_element_type(ov::element::u8).set_layout("NHWC");',
            *([f"image.tensor().set_shape({shape});"] if shape else []),
            f'image.model().set_layout("{told.layout}");',
            (
                "image.preprocess().convert_element_type(ov::element::f32)"
                f".mean(std::vector<float>{mean}).scale(std::vector<float>{std});"
            ),
            "model = prepost.build();",
        ]
    lines += [
        'auto compiled = core.compile_model(model, "CPU",',
        "    ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),",
        "    ov::hint::inference_precision(ov::element::f32));",
        "auto request = compiled.create_infer_request();",
        "request.set_input_tensor(0, tensor);  // an ov::Tensor of that shape and type",
        "request.infer();",
        "auto result = request.get_output_tensor(0);",
    ]
    return lines


def _pictures(graph: Graph, deployment: Deployment) -> Preprocess | None:
    """Return the preprocessing, where the network has one input and it is a picture."""
    if len(graph.inputs) != 1 or deployment.preprocess is None:
        return None
    shape = graph.inputs[0].shape
    return deployment.preprocess if shape is not None and len(shape) == 4 else None


def _numbers(told: Preprocess) -> tuple[str, str, str]:
    """Return the shape of a batch of one picture, mean and std as lists; no shape where it is open."""
    said = told.describe()
    dims = (
        told.tensor_shape
        if told.layout == "NHWC"
        else (*told.tensor_shape[1:], told.tensor_shape[0])
    )
    shape = "" if None in dims else str([1, *dims])
    return shape, str(said["mean"]), str(said["std"])


def _feeds(graph: Graph, told: Preprocess | None) -> str:
    if told is None:
        return (
            "feeds: a list with one float32 array for each input, in order: the model's own tensors"
        )
    how = "resized" if told.crop == "none" else "resized and cropped"
    return f"feeds: [pixels], uint8 {told.channels}, 1 x height x width x channels, {how} as below"
