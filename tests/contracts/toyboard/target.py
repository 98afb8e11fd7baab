"""Toy board: unsigned 8-bit integers for everything, in a file that only the board's program reads."""

__all__ = ["TOY"]

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.formats.number_format import INT8, UINT8
from quant.runtimes.runtime import Runtime
from quant.target.device import Device
from quant.target.finding import Finding, Rules
from quant.target.table import TARGETS, Exported, Target
from quant.target.version_flag import VersionFlag

if TYPE_CHECKING:
    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment

MAGIC = b"TOY"
VERSION = VersionFlag(
    target="toy", flag="--toy-version", default="2", choices=("1", "2"), help="Toy board 1 or 2."
)
RULES = {
    "toy-1": "a network of the board begins with TOY and its version",
    "toy-2": "a network has 100 layers at most",
}
rules = Rules[str]("toy", RULES)


def _write(graph: "Graph", plan: "Plan", folder: Path, deployment: "Deployment") -> Exported:
    """Write `network.toy`: the magic word, the version, and the Q/DQ graph."""
    import onnx_ir as ir

    from quant.simulate.simulated_graph import quantize_graph

    version = VERSION.of(deployment.versions)
    model = quantize_graph(graph, plan, TOY)
    content = ir.to_proto(model).SerializeToString(deterministic=True)
    (folder / "network.toy").write_bytes(MAGIC + version.encode() + content)
    (folder / "README.txt").write_text(f"Copy network.toy to the toy board {version}.\n")
    return Exported(files=("network.toy", "README.txt"), facts={"toy_version": version})


def _check_model(graph: "Graph", deployment: "Deployment") -> list[Finding]:
    count = len(list(graph.nodes))
    if count <= 100:
        return []
    return [
        rules.finding(
            2, "error", "the model", saw=f"{count} nodes", wanted="100", mend="Take a smaller one."
        )
    ]


def _check_export(path: Path, deployment: "Deployment") -> list[Finding]:
    file = path / "network.toy" if path.is_dir() else path
    wanted = MAGIC + VERSION.of(deployment.versions).encode()
    head = file.read_bytes()[: len(wanted)]
    if head == wanted:
        return []
    return [
        rules.finding(
            1, "error", file.name, saw=repr(head), wanted=repr(wanted), mend="Export it again."
        )
    ]


def _open(path: Path, threads: int) -> Any:
    """Open a network as the board's simulator would."""
    import onnx
    import onnx_ir as ir

    from quant.graph.session import open_simulation

    proto = onnx.ModelProto.FromString(path.read_bytes()[len(MAGIC) + 1 :])
    return open_simulation(ir.from_proto(proto), threads)


TOY = Target(
    name="toy",
    title="Toy board",
    formats={"int8": (UINT8, INT8)},
    bias=None,
    weighted_ops=frozenset({"Conv", "Gemm", "MatMul"}),
    integer_ops=frozenset({"Add"}),
    passthrough_ops=frozenset({"MaxPool"}),
    shared_grid_ops=frozenset({"Concat"}),
    integer_output_ops=frozenset(),
    quantize_at="reader",
    fuses_residual_add=False,
    weight_form="integer",
    source="made up: there is no such board, and nothing was ever run on one",
    write=_write,
    check_model=_check_model,
    check_export=_check_export,
    rules=RULES,
    version=VERSION,
    devices=(
        Device(
            name="toy-2", title="Toy board 2", peak={"int8": 1e9, "float32": 1e8}, bandwidth=1e9
        ),
    ),
    runtimes=(Runtime(name="toysim", title="Toy simulator", package="numpy", open=_open),),
)
TARGETS.add("toy")(TOY)
