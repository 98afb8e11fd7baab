"""Recipe: what the user wants, as rules over node names and types; the first match decides.

    observer = "mse"                # for everything no rule decides

    [[rule]]
    match = "head.*"                # a node name, with * and ?
    precision = "float"

    [[rule]]
    op = "Conv"                     # an operator type
    weights = "per-tensor"
    observer = "percentile"

A rule that matches nothing is an error that says so: a typing mistake must not pass silently.
"""

__all__ = ["NOTHING", "Recipe", "Rule", "load_recipe"]

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quant.common.errors import InputError
from quant.plan.tensor_plans import PRECISIONS

CHOICES: dict[str, tuple[str, ...]] = {
    "precision": (*PRECISIONS, "float"),
    "float_precision": ("float16", "float32"),
    "weights": ("per-channel", "per-tensor"),
    "weight_observer": ("minmax", "mse"),
    "bias_correction": ("on", "off"),
    "rounding": ("learned", "fitted", "nearest"),
    "equalization": ("on", "off"),
    "smoothing": ("on", "off"),
    "products": ("on", "off"),
    "pixel_grid": ("on", "off"),
    "range_search": ("on", "off"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; None leaves a question to the next rule that matches, and then to the defaults.

    Attributes:
        match: Glob over node names; a graph input counts as a node of its own name.
        op: Glob over operator types.
        target: Glob over names of targets.
        precision: "int8", "int16" (NNIE), "w4a8" (weights of 4 bits), "w4a4" and "w8a16" (simulated
            only), "fp8" (TensorRT), "float16", "float32", or "float": the best of the target.
        float_precision: What the layer computes in if it gets no grids: "float16" or "float32".
        observer: Of the activations that the node makes.
        weights: "per-channel" or "per-tensor".
        weight_observer: "minmax" or "mse".
        bias_correction: "on" or "off".
        rounding: Of weights to integers, at most: "learned" block by block, which "balanced" else does
            only under 8 bits, "fitted" to the layer's output, or "nearest".
        equalization: "on" or "off", for the node's channels with its neighbours.
        smoothing: "on" or "off", for the channels that the node makes or reads.
        products: "on" or "off", for a MatMul of two activations: attention's.
        pixel_grid: "on" or "off", for the input.
        range_search: "on" or "off", for the activations that the node makes.
        because: The reason in a plan; a rule of a file has none of its own.
        line: Where the rule stands in its file.
    """

    match: str = "*"
    op: str = "*"
    target: str = "*"
    precision: str | None = None
    float_precision: str | None = None
    observer: str | None = None
    weights: str | None = None
    weight_observer: str | None = None
    bias_correction: str | None = None
    rounding: str | None = None
    equalization: str | None = None
    smoothing: str | None = None
    products: str | None = None
    pixel_grid: str | None = None
    range_search: str | None = None
    because: str = ""
    line: int = 0

    def applies(self, name: str, op: str) -> bool:
        """Tell whether the rule is about a node."""
        return fnmatchcase(name, self.match) and fnmatchcase(op, self.op)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Rules in order; the last one, if any, is the defaults of the file."""

    rules: tuple[Rule, ...] = ()
    defaults: Rule = Rule()
    path: str = "recipe"

    def of(self, target: str) -> "Recipe":
        """Return the rules that hold for a target."""
        rules = tuple(rule for rule in self.rules if fnmatchcase(target, rule.target))
        return replace(self, rules=rules)

    def wants(self, name: str, op: str, what: str) -> str | None:
        """Return what the first rule that matches and speaks of `what` says, or the default."""
        for rule in (*self.rules, self.defaults):
            said = getattr(rule, what)
            if said is not None and rule.applies(name, op):
                return str(said)
        return None

    def reason(self, name: str, op: str) -> str:
        """Return why the rule that decides a node's precision says so; "" where none tells."""
        deciding = (r for r in self.rules if r.precision is not None and r.applies(name, op))
        return next((rule.because for rule in deciding), "")

    def check(self, nodes: Sequence[tuple[str, str]]) -> None:
        """Refuse a rule that matches none of the graph's `(name, type)`.

        Raises:
            InputError: With the rule's line and an example of what there was.
        """
        for rule in self.rules:
            if any(rule.applies(name, op) for name, op in nodes):
                continue
            names = sorted({op for _, op in nodes} if rule.match == "*" else {n for n, _ in nodes})
            wanted = rule.op if rule.match == "*" else rule.match
            near = get_close_matches(wanted.replace("*", ""), names, n=1)
            example = near[0] if near else (names[0] if names else "")
            raise InputError(
                f"{self.path}:{rule.line}: rule '{wanted}' decides for none of the {len(nodes)} "
                f"nodes, for example '{example}'. Mend the pattern, or remove the rule."
            )


NOTHING = Recipe()
"""The recipe that leaves everything to the tool."""


def load_recipe(path: Path, observers: Sequence[str]) -> Recipe:
    """Read a recipe.

    Args:
        path: A TOML file.
        observers: The names that `observer` may have.

    Raises:
        InputError: Not TOML, an unknown key or an unknown choice; with file, line and a near name.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: a recipe is a TOML file: {error}. Mend the file.") from error
    starts = [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == "[[rule]]"]
    rows = table.pop("rule", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: rules are written as [[rule]], saw [rule]. Double the brackets.")
    rules = []
    for number, row in enumerate(rows):
        line = starts[number] if number < len(starts) else 1
        rules.append(_rule(row, path, line, observers))
        if not set(row) - {"match", "op", "target"}:
            raise InputError(
                f"{path}:{line}: a rule must decide something, saw only "
                f"{', '.join(sorted(row)) or 'nothing'}. Add precision, observer, weights, "
                "weight_observer, bias_correction, rounding, equalization, smoothing, products, "
                "pixel_grid, range_search or float_precision."
            )
    if {"match", "op", "target"} & set(table):
        raise InputError(f"{path}:1: match, op and target belong in a [[rule]]. Move them there.")
    return Recipe(rules=tuple(rules), defaults=_rule(table, path, 1, observers), path=str(path))


def _rule(row: dict[str, Any], path: Path, line: int, observers: Sequence[str]) -> Rule:
    """Build a rule from its table, refusing what it does not know."""
    known = [f.name for f in fields(Rule) if f.name not in ("line", "because")]
    for key, value in row.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"{path}:{line}: a rule has no '{key}'.{hint} Known: {', '.join(sorted(known))}."
            )
        allowed = tuple(observers) if key == "observer" else CHOICES.get(key)
        if not isinstance(value, str) or (allowed and value not in allowed):
            wanted = ", ".join(sorted(allowed)) if allowed else "a text"
            raise InputError(
                f"{path}:{line}: {key} is one of: {wanted}; saw '{value}'. Choose one of them."
            )
    return Rule(**row, line=line)
