"""Write the folder of an Atlas export: models, record, scripts and DEPLOY.md."""

__all__ = ["write"]

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quant.common.errors import UnsupportedError
from quant.common.files import atomic, write_text
from quant.export.atlas.files.aipp import aipp_of, aipp_text
from quant.export.atlas.files.amct_config import keep_dtype_text, quant_cfg_text
from quant.export.atlas.files.build_scripts import atc_script, input_shape
from quant.export.atlas.files.deploy_page import Page, page_text
from quant.export.atlas.files.record import record_text
from quant.export.atlas.graph.bias_shifts import with_bias_shifts
from quant.export.atlas.graph.deploy_model import deploy_model
from quant.export.atlas.graph.fallback import without_refused
from quant.export.atlas.graph.fixed_sizes import fixed_graph, fixed_plan
from quant.export.atlas.graph.integer_layers import integer_layers
from quant.export.atlas.graph.lower_opset import in_lowest_opset, lowest_opset
from quant.export.atlas.version import SOC_VERSION
from quant.export.qdq.save import save_checked
from quant.graph.prepared_graph import PROTO_LIMIT, Graph, model_bytes
from quant.load.parity import LIMIT, parity
from quant.plan.tensor_plans import Plan
from quant.target.deployment import Deployment
from quant.target.table import Exported

DEFAULT = Deployment()


def write(graph: Graph, plan: Plan, folder: Path, deployment: Deployment = DEFAULT) -> Exported:
    """Write every file of the export except plan, simulation and findings.

    Raises:
        UnsupportedError: A layer cannot be INT8 and `allow_fallback` is off, an operator is in no
            opset up to 18, or an input has a size or a name that ATC does not take.
    """
    place = graph.source or graph.name
    fixed = fixed_graph(graph, deployment)
    graph, plan = fixed, fixed_plan(plan, graph, fixed)
    soc_version = SOC_VERSION.of(deployment.versions)
    refused: dict[str, str] = {}
    if deployment.allow_fallback:
        plan, refused = without_refused(graph, plan)
    shape = input_shape(graph)
    shifted = with_bias_shifts(graph, plan)
    layers = integer_layers(shifted, plan)
    opset, opset_reason = lowest_opset(shifted, place)
    deployed = deploy_model(graph, plan)
    names = [node.name for node in deployed.graph.node]
    aipp = aipp_of(graph, deployment.preprocess)
    keep_dtype = keep_dtype_text(graph, plan, layers, names)
    script = atc_script(
        graph,
        soc_version,
        aipp=not isinstance(aipp, str),
        keep_dtype=keep_dtype is not None,
    )
    page = Page(
        graph=graph,
        plan=plan,
        deployment=deployment,
        layers=tuple(layers),
        refused=tuple(refused),
        aipp=aipp,
        shape=shape,
        opset=opset,
        opset_reason=opset_reason,
        has_keep_dtype=keep_dtype is not None,
    )
    floats = in_lowest_opset(shifted, place)
    _check_lowered(shifted, floats, place)
    _save(deployed, folder / "deploy_model.onnx")
    save_checked(floats, folder / "float_model.onnx")
    texts = {
        "record.txt": record_text(layers, soc_version),
        "quant.cfg": quant_cfg_text(graph, layers),
        "aipp.cfg": None if isinstance(aipp, str) else aipp_text(aipp),
        "keep_dtype.cfg": keep_dtype,
        "atc.sh": script,
        "DEPLOY.md": page_text(page),
    }
    for name, text in texts.items():
        if text is None:
            (folder / name).unlink(missing_ok=True)  # of an export before this one
        else:
            write_text(folder / name, text)
    files = ["deploy_model.onnx", "float_model.onnx", *(n for n, t in texts.items() if t)]
    files += [f"{n}.data" for n in files[:2] if (folder / f"{n}.data").exists()]
    return Exported(files=tuple(files), facts=_facts(page))


def _check_lowered(original: ir.Model, floats: ir.Model, place: str) -> None:
    """Compare the graph in its lower opset with the original, on one seeded sample.

    Raises:
        UnsupportedError: ONNX Runtime computes another output.
    """
    versions = [m.opset_imports.get("") for m in (original, floats)]
    if versions[0] == versions[1] or model_bytes(original) > PROTO_LIMIT:
        return
    rng = np.random.default_rng(0)
    inputs = [v for v in original.graph.inputs if not v.is_initializer()]
    feed = {str(v.name): _sample(v, rng) for v in inputs}
    difference = parity(original, Graph(floats, "lowered"), [feed])
    if not difference <= LIMIT:
        raise UnsupportedError(
            f"{place}: opset {versions[0]} in opset {versions[1]} must give the same numbers, saw a "
            f"relative difference of {difference:.3g}, limit {LIMIT:g}. Export the model with opset 11."
        )


def _sample(value: ir.Value, rng: np.random.Generator) -> NDArray[Any]:
    """Return one sample of an input; integers are not negative, because they may be indices."""
    array = rng.normal(size=[d if isinstance(d, int) else 1 for d in value.shape or ()])
    dtype = value.dtype or ir.DataType.FLOAT
    return (array if dtype.is_floating_point() else np.abs(array)).astype(dtype.numpy())


def _facts(page: Page) -> dict[str, object]:
    """Return the facts about the export that `run.json` holds."""
    return {
        "opset": page.opset,
        "int8_layers": len(page.layers),
        "refused_layers": list(page.refused),
        "aipp": page.aipp if isinstance(page.aipp, str) else "aipp.cfg",
    }


def _save(proto: onnx.ModelProto, path: Path) -> None:
    """Write a deploy model; over 1.9 GB its weights go to a file beside it, as AMCT does."""
    big = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > PROTO_LIMIT
    with atomic(path) as scratch:
        if big:
            onnx.save_model(
                proto, str(scratch), save_as_external_data=True, location=f"{path.name}.data"
            )
        else:
            scratch.write_bytes(proto.SerializeToString(deterministic=True))
