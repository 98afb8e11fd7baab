"""Example programs in Python and C++ that load the export and run it on a picture."""

__all__ = ["cpp_lines", "python_lines"]

from quant.graph.prepared_graph import Graph
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment


def python_lines(graph: Graph, deployment: Deployment) -> list[str]:
    """Return a Python program whose `results` are a list of arrays."""
    preprocess = _picture_preprocessing(graph, deployment)
    lines = ["import openvino as ov"]
    if preprocess is not None:
        lines.append("from openvino.preprocess import PrePostProcessor")
    lines += ["", "core = ov.Core()", 'model = core.read_model("model.onnx")']
    if preprocess is not None:
        shape, mean, std = _shape_mean_std(preprocess)
        lines += [
            "prepost = PrePostProcessor(model)",
            "image_input = prepost.input(0)",
            "image_input.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout('NHWC'))",
            *([f"image_input.tensor().set_shape({shape})"] if shape else []),
            f"image_input.model().set_layout(ov.Layout('{preprocess.layout}'))",
            f"image_input.preprocess().convert_element_type(ov.Type.f32).mean({mean}).scale({std})",
            "model = prepost.build()",
        ]
    lines += [
        'settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}',
        'compiled = core.compile_model(model, "CPU", settings)',
        f"# {_feeds_comment(graph, preprocess)}",
        "results = list(compiled(feeds).values())",
    ]
    return lines


def cpp_lines(graph: Graph, deployment: Deployment) -> list[str]:
    """Return the program in C++."""
    preprocess = _picture_preprocessing(graph, deployment)
    lines = ["#include <openvino/openvino.hpp>", ""]
    lines += ["ov::Core core;", 'auto model = core.read_model("model.onnx");']
    if preprocess is not None:
        shape, mean, std = (
            text.replace("[", "{").replace("]", "}") for text in _shape_mean_std(preprocess)
        )
        lines += [
            "ov::preprocess::PrePostProcessor prepost(model);",
            "auto& image = prepost.input(0);",
            'image.tensor().set_element_type(ov::element::u8).set_layout("NHWC");',
            *([f"image.tensor().set_shape({shape});"] if shape else []),
            f'image.model().set_layout("{preprocess.layout}");',
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


def _picture_preprocessing(graph: Graph, deployment: Deployment) -> Preprocess | None:
    """Return the preprocessing if the network's only input is a picture, else None."""
    if len(graph.inputs) != 1 or deployment.preprocess is None:
        return None
    shape = graph.inputs[0].shape
    return deployment.preprocess if shape is not None and len(shape) == 4 else None


def _shape_mean_std(preprocess: Preprocess) -> tuple[str, str, str]:
    """Return the shape for one picture ("" if dynamic), mean and std, each as a list in text."""
    described = preprocess.describe()
    dims = (
        preprocess.tensor_shape
        if preprocess.layout == "NHWC"
        else (*preprocess.tensor_shape[1:], preprocess.tensor_shape[0])
    )
    shape = "" if None in dims else str([1, *dims])
    return shape, str(described["mean"]), str(described["std"])


def _feeds_comment(graph: Graph, preprocess: Preprocess | None) -> str:
    if preprocess is None:
        return (
            "feeds: a list with one float32 array for each input, in order: the model's own tensors"
        )
    resize = "resized" if preprocess.crop == "none" else "resized and cropped"
    pixels = f"uint8 {preprocess.channels}, 1 x height x width x channels"
    return f"feeds: [pixels], {pixels}, {resize} as below"
