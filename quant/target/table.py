"""The table of a target: what its runtime can execute, with the source.

To add one: a package `export/NAME/` whose `target.py` adds a `Target` to `TARGETS`. It imports what
writes and checks inside functions, so that a list of targets stays quick. `tests/contracts` tries it.
"""

__all__ = [
    "QUANTIZED_OPS",
    "TARGETS",
    "Exported",
    "Target",
    "checked_versions",
    "every_runtime",
    "find_runtime",
]

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quant.common.errors import InputError
from quant.common.registry import Registry
from quant.formats.emulated_integers import EMULATED
from quant.formats.number_format import Integer, NumberFormat
from quant.formats.precision import Precision
from quant.runtimes.runtime import Runtime
from quant.target.device import Device
from quant.target.finding import Finding
from quant.target.version_flag import VersionFlag

if TYPE_CHECKING:  # a table is read by `quant list` too, which has no graph and must answer at once
    import onnx_ir as ir

    from quant.graph.prepared_graph import Graph
    from quant.plan.tensor_plans import Plan
    from quant.target.deployment import Deployment

QUANTIZED_OPS = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"})
"""ONNX's own operators on integers that exporters write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a writer left in the target's folder.

    Attributes:
        files: What was written, relative to the folder, main file first.
        facts: Measured properties for `run.json`, JSON values only.
    """

    files: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One runtime as a table.

    Attributes:
        name: The name on the command line.
        title: The name for people.
        aliases: Other names of it on the command line.
        formats: By precision the formats of activations and of weights; the first is the default.
            The axis of weights is set for each operator.
        float_precisions: What a layer without grids computes in, the default first.
        best_precision: What `precision = "float"` of a recipe means here.
        search_precisions: Precisions that a search chooses among, cheapest first; () for the default
            precision and `best_precision`.
        bias: The format of biases, at scale input * weight; None leaves them float.
        weighted_ops: Operators with an integer kernel for a constant weight.
        per_tensor_ops: Those of them whose weight has one scale only.
        integer_ops: Operators without weight that have an integer kernel: quantized inputs and output.
        product_ops: Operators with an integer kernel for two activations, whose inputs are quantized and
            whose output need not be; only where the recipe says `products = "on"`.
        passthrough_ops: Operators through which the integers pass unchanged: one grid for input and output.
        shared_grid_ops: Operators all of whose quantized inputs and output need one grid (Concat).
        integer_output_ops: Weighted operators whose kernel can only give integers, so that the output needs a
            quantizer even where a float operator reads it.
        quantize_at: "producer": a tensor is quantized where it is made and every reader sees the
            integers. "reader": only integer layers see them.
        fuses_residual_add: An Add fuses into the convolution before it: quantize only the other operand.
        no_float_unit: The chip has no float unit, so that `integer_ops` are quantized wherever they stand.
        grid_per_group: A convolution with groups has a grid for each group of its input and weight.
        float16_in_graph: A float16 layer is one in the graph itself, so that its simulation rounds too.
        observers: The only observers that the vendor's own tools leave possible; () for all.
        quantized_ops: Operators that mark an ONNX file as quantized: `quant check` takes a file without
            any of them for a float model.
        weight_form: "integer": int8 weight and DequantizeLinear; "float": float weight, Q, DQ.
        source: Where the table comes from.
        write: Writes the target's own files: (graph, plan, folder, deployment) -> Exported.
        simulate: Makes `simulated.onnx`: (graph, plan) -> model; None for the graph with quantizers.
        check_model: What the target will not take of a graph, before anything is written.
        check_export: What it will not take of an export: a folder, or one file.
        fallback: Names of the layers that leave the chip where some are refused; None: just those.
        finalize_plan: Gives, with `allow_fallback`, the plan without the layers whose numbers the chip
            cannot hold, which only the plan shows: (graph, plan) -> plan. `write` does the same by itself.
        rules: The rules of the checks: name and one line each.
        version: The flag that names the version or the chip that files are for; None: there is one.
        devices: Chips whose public figures predict times, the default first.
        runtimes: Programs that execute its main file on a machine like this, its own before others.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = ()
    formats: Mapping[Precision, tuple[NumberFormat, NumberFormat]]
    float_precisions: tuple[Precision, ...] = (Precision.FLOAT32,)
    best_precision: Precision = Precision.FLOAT32
    search_precisions: tuple[Precision, ...] = ()
    bias: Integer | None
    weighted_ops: frozenset[str]
    per_tensor_ops: frozenset[str] = frozenset()
    integer_ops: frozenset[str]
    product_ops: frozenset[str] = frozenset()
    passthrough_ops: frozenset[str]
    shared_grid_ops: frozenset[str]
    integer_output_ops: frozenset[str]
    quantize_at: Literal["producer", "reader"]
    fuses_residual_add: bool
    no_float_unit: bool = False
    grid_per_group: bool = False
    float16_in_graph: bool = False
    observers: tuple[str, ...] = ()
    quantized_ops: frozenset[str] = QUANTIZED_OPS
    weight_form: Literal["integer", "float"]
    source: str
    write: "Callable[[Graph, Plan, Path, Deployment], Exported]"
    simulate: "Callable[[Graph, Plan], ir.Model] | None" = None
    check_model: "Callable[[Graph, Deployment], list[Finding]] | None" = None
    check_export: "Callable[[Path, Deployment], list[Finding]] | None" = None
    fallback: "Callable[[Graph, Deployment], Collection[str]] | None" = None
    finalize_plan: "Callable[[Graph, Plan], Plan] | None" = None
    rules: Mapping[str, str] = field(default_factory=dict)
    version: VersionFlag | None = None
    devices: tuple[Device, ...] = ()
    runtimes: tuple[Runtime, ...] = ()

    def __post_init__(self) -> None:
        """Read names such as "int8" as precisions, refusing what is none."""
        formats = {Precision(name): pair for name, pair in self.formats.items()}
        object.__setattr__(self, "formats", formats)
        object.__setattr__(self, "best_precision", Precision(self.best_precision))
        for name in ("float_precisions", "search_precisions"):
            object.__setattr__(self, name, tuple(Precision(p) for p in getattr(self, name)))

    @cached_property
    def simulated_formats(self) -> Mapping[Precision, tuple[NumberFormat, NumberFormat]]:
        """The formats, and for targets of 8-bit integers those of `EMULATED` that are not among them.

        A layer of "w4a8" runs on the kernels of "int8"; what else is not in `formats` can be
        simulated and not exported.
        """
        activation, weight = self.formats[self.precision]
        if self.grid_per_group or not (
            isinstance(activation, Integer) and isinstance(weight, Integer)
        ):
            return self.formats
        emulated: dict[Precision, tuple[NumberFormat, NumberFormat]] = {
            p: (replace(activation, bits=p.activation_bits), replace(weight, bits=p.weight_bits))
            for p in EMULATED
            if p not in self.formats
        }
        return {**self.formats, **emulated}

    @property
    def search_candidates(self) -> tuple[Precision, ...]:
        """The precisions that a search chooses among where the user names none, cheapest first."""
        return self.search_precisions or (self.precision, self.best_precision)

    @property
    def precision(self) -> Precision:
        """The default: the precision of a layer for which no rule asks another."""
        return next(iter(self.formats))

    @property
    def activation(self) -> NumberFormat:
        """The format of activations at the default precision."""
        return self.formats[self.precision][0]

    @property
    def weight(self) -> NumberFormat:
        """The format of weights at the default precision."""
        return self.formats[self.precision][1]


TARGETS: Registry[Target] = Registry("target", "quant.export", member="target")


def every_runtime() -> dict[str, Runtime]:
    """Return the runtimes of all targets, by name."""
    return {r.name: r for target in TARGETS for r in TARGETS[target].runtimes}


def find_runtime(name: str) -> Runtime:
    """Return the runtime of this name that a target's table has.

    Raises:
        InputError: No target has one of this name.
    """
    runtimes = every_runtime()
    if name not in runtimes:
        raise InputError(f"--runtime: it is {' or '.join(runtimes)}, saw '{name}'. Choose one.")
    return runtimes[name]


def checked_versions(versions: Mapping[str, str]) -> dict[str, str]:
    """Return versions by target, once each target has taken its own.

    Raises:
        InputError: A target is unknown, has no versions, or does not know this one.
    """
    for name, text in versions.items():
        flag = TARGETS[name].version
        if flag is None:
            raise InputError(
                f"versions: target '{name}' has none to choose from, saw '{text}'. Leave it out."
            )
        flag.checked(text)
    return dict(versions)
