"""Run the 13 rules on a Q/DQ graph."""

__all__ = ["check_export"]

from pathlib import Path

import onnx_ir as ir

from quant.common.errors import InputError
from quant.export.openvino.check.graph import IMPORT
from quant.export.openvino.check.kernels import KERNELS, SATURATION
from quant.graph.shapes import infer_shapes
from quant.load.onnx_file import read_proto
from quant.target.deployment import Deployment
from quant.target.finding import Finding, in_order


def check_export(path: Path, deployment: Deployment) -> list[Finding]:
    """Return the findings on an export, in the order of the rules.

    Args:
        path: A folder with `model.onnx`, or one Q/DQ ONNX file of any tool.
        deployment: OpenVINO's rules do not depend on it.

    Raises:
        InputError: There is no model, or it cannot be read.
    """
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: an OpenVINO export must hold 'model.onnx', saw none. Give its folder, or the "
            "file itself."
        )
    proto = read_proto(file)
    try:
        model = ir.from_proto(proto)
        ir.external_data.set_base_dir(model.graph, file.resolve().parent)
        model.graph.sort()
        infer_shapes(model)
    except Exception as error:  # onnx_ir and onnx each raise their own
        reason = " ".join(str(error).split()).replace("'", '"').rstrip(".")
        raise InputError(
            f"{file}: not a readable ONNX model: {reason[:200]}. Export it again."
        ) from error
    rules = (*IMPORT, *KERNELS, *SATURATION)
    return in_order([result for rule in rules for result in rule(model)])
