"""Plans, samples of pictures, and the mapper's input stage by hand, for the tests of NNIE."""

__all__ = ["fed", "pictures", "plan_of", "read_export", "written"]

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from quant.export.nnie.files.mapper_cfg import read_cfg
from quant.export.nnie.write import write
from quant.graph.prepared_graph import Graph
from quant.plan.tensor_plans import LayerPlan, Plan
from quant.preprocess.image_to_tensor import Preprocess
from quant.target.deployment import Deployment, SampleReader
from quant.target.table import Exported
from tests.chosen import prepared

COUNT = 20


def plan_of(graph: Graph, high: tuple[str, ...] = (), floats: tuple[str, ...] = ()) -> Plan:
    """Return a plan that has every layer in int8 but these."""
    told = dict.fromkeys(high, "int16") | dict.fromkeys(floats, "float32")
    return Plan(
        target="nnie",
        graph=graph.fingerprint,
        layers={
            x.name: LayerPlan(
                layer=x.name, op=x.op, precision=told.get(x.name, "int8"), because="asked"
            )
            for x in graph.layers
        },
        tensors={},
    )


def pictures(
    preprocess: Preprocess, name: str = "input", count: int = COUNT, seed: int = 0
) -> SampleReader:
    """Return samples made of seeded noise by the preprocessing, at its own size."""
    assert preprocess.size is not None
    width, height = preprocess.size

    def samples(n: int) -> Iterator[tuple[str, Mapping[str, NDArray[Any]]]]:
        rng = np.random.default_rng(seed)
        for i in range(min(n, count)):
            noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            yield f"{i:03}.png", {name: preprocess.apply(Image.fromarray(noise))}

    return samples


def written(
    proto: onnx.ModelProto, folder: Path, preprocess: Preprocess, **options: Any
) -> tuple[Graph, Exported, Deployment]:
    """Export a network for pictures; `high` and `floats` go to the plan, the rest to Deployment."""
    graph = prepared(proto)
    plan = plan_of(graph, options.pop("high", ()), options.pop("floats", ()))
    name = str(graph.inputs[0].name)
    held: dict[str, Any] = {"samples": pictures(preprocess, name), **options}
    deployment = Deployment(preprocess=preprocess, **held)
    return graph, write(graph, plan, folder, deployment), deployment


def read_export(folder: Path) -> Any:
    """Return OpenCV's network of the prototxt and caffemodel that the cfg names."""
    (path,) = [p for p in folder.glob("*.cfg") if not p.stem.endswith("_sim")]
    cfg = read_cfg(path.read_text(encoding="ascii"))
    names = [str(folder / cfg.get(key)) for key in ("prototxt_file", "caffemodel_file")]
    return cv2.dnn.readNetFromCaffe(*names)


def fed(folder: Path, row: int) -> NDArray[np.float32]:
    """Return what the mapper feeds the network for one listed picture, `[1, C, H, W]`.

    By the formulas of the mapper's guide and with OpenCV's decoder, which has B, G, R in this order:
    nothing of it goes through the exporter's code but the reading of `[key] value`.
    """
    (path,) = [p for p in folder.glob("*.cfg") if not p.stem.endswith("_sim")]
    cfg = read_cfg(path.read_text(encoding="ascii"))
    listed = (folder / cfg.get("image_list")).read_text(encoding="ascii").splitlines()[row]
    picture = cv2.imread(str(folder / listed), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    x = np.atleast_3d(picture).transpose(2, 0, 1).astype(np.float64)
    assert cfg.get("RGB_order") == "BGR"
    kind = int(cfg.get("norm_type"))
    if kind in (2, 5):
        lines = (folder / cfg.get("mean_file")).read_text(encoding="ascii").splitlines()
        x -= np.array([float(line) for line in lines]).reshape(-1, 1, 1)
    if kind in (3, 5):
        x *= float(cfg.get("data_scale"))
    return x[None].astype(np.float32)
