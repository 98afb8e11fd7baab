"""Write the folder of an Atlas export."""

__all__ = ["write_folder"]

from pathlib import Path

from quant.deploy import Deployment
from quant.graph import Graph
from quant.plan import Plan
from quant.target import Exported


def write_folder(graph: Graph, plan: Plan, folder: Path, deployment: Deployment) -> Exported:
    """Write."""
    raise NotImplementedError
