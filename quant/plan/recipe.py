"""Recipes: what the user wants, as rules over node names and types; the first match decides.

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

__all__ = ["NOTHING", "Recipe", "Rule", "load_recipe", "recipe_of"]

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from quant.common.errors import InputError, reason_of
from quant.formats.precision import Precision

CHOICES: dict[str, tuple[str, ...]] = {
    "precision": (*Precision, "float"),
    "float_precision": (Precision.FLOAT16, Precision.FLOAT32),
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


NOT_IN_FILE = ("line", "because")
"""Fields of a rule that a file cannot set."""


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
        observer: The observer of the activations that the node makes.
        weights: "per-channel" or "per-tensor".
        weight_observer: "minmax" or "mse".
        bias_correction: "on" or "off".
        rounding: How weights are rounded to integers, at most: "learned" block by block, which "balanced" else does
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
        """Return whether the rule is about a node."""
        return fnmatchcase(name, self.match) and fnmatchcase(op, self.op)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Rules in order, and the defaults for what none of them decides."""

    rules: tuple[Rule, ...] = ()
    defaults: Rule = Rule()
    path: str = "recipe"

    def __str__(self) -> str:
        """Return the file, or what stands for it."""
        return self.path

    def of(self, target: str) -> "Recipe":
        """Return the rules that hold for a target."""
        rules = tuple(rule for rule in self.rules if fnmatchcase(target, rule.target))
        return replace(self, rules=rules)

    def wants(self, name: str, op: str, field: str) -> str | None:
        """Return the value of a field by the first rule that matches and sets it, or by the defaults."""
        for rule in (*self.rules, self.defaults):
            value = getattr(rule, field)
            if value is not None and rule.applies(name, op):
                return str(value)
        return None

    def reason(self, name: str, op: str) -> str:
        """Return the reason of the rule that decides a node's precision; "" where it has none."""
        deciding = (r for r in self.rules if r.precision is not None and r.applies(name, op))
        return next((rule.because for rule in deciding), "")

    def check(self, nodes: Sequence[tuple[str, str]]) -> None:
        """Refuse a rule that matches none of the graph's `(name, type)`.

        Raises:
            InputError: The message has the rule's line and an example of the graph's own names.
        """
        for rule in self.rules:
            if any(rule.applies(name, op) for name, op in nodes):
                continue
            names = sorted({op for _, op in nodes} if rule.match == "*" else {n for n, _ in nodes})
            pattern = rule.op if rule.match == "*" else rule.match
            near = get_close_matches(pattern.replace("*", ""), names, n=1)
            example = near[0] if near else (names[0] if names else "")
            raise InputError(
                f"{self.path}:{rule.line}: rule '{pattern}' decides for none of the {len(nodes)} "
                f"nodes, for example '{example}'. Mend the pattern, or remove the rule."
            )


NOTHING = Recipe()
"""The recipe that leaves everything to the tool."""


def load_recipe(source: Path | Recipe, observers: Sequence[str]) -> Recipe:
    """Read a recipe, or check one that is in memory.

    Args:
        source: A TOML file, or a Recipe.
        observers: The names that `observer` may have.

    Raises:
        InputError: Not TOML, an unknown key or an unknown choice; with file, line and a near name.
    """
    if isinstance(source, Recipe):
        rows = [_decisions(rule) for rule in source.rules]
        table = {**_decisions(source.defaults), "rule": rows}
        checked = recipe_of(table, source.path, (), observers)
        pairs = zip(checked.rules, source.rules, strict=True)
        return replace(checked, rules=tuple(replace(c, because=r.because) for c, r in pairs))
    try:
        text = source.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{source}: a recipe is a TOML file: {reason_of(error)}. Mend the file."
        ) from error
    starts = [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == "[[rule]]"]
    return recipe_of(table, str(source), starts, observers)


def recipe_of(
    table: Mapping[str, Any], place: str, starts: Sequence[int], observers: Sequence[str]
) -> Recipe:
    """Return the recipe that a table describes: defaults, and the rules in a list under "rule".

    Args:
        table: A recipe's file as TOML reads it.
        place: The file, or what stands for it.
        starts: The line of each rule; the rules are counted from 1 where it is empty.
        observers: The names that `observer` may have.

    Raises:
        InputError: An unknown key or an unknown choice.
    """
    defaults = {key: value for key, value in table.items() if key != "rule"}
    rows = table.get("rule", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{place}: rules are written as [[rule]], saw [rule]. Double the brackets."
        )
    rules = []
    for number, row in enumerate(rows):
        line = (starts[number] if number < len(starts) else 1) if starts else number + 1
        rules.append(_rule(row, place, line, observers))
        if not set(row) - {"match", "op", "target"}:
            raise InputError(
                f"{place}:{line}: a rule must decide something, saw only "
                f"{', '.join(sorted(row)) or 'nothing'}. Add precision, observer, weights, "
                "weight_observer, bias_correction, rounding, equalization, smoothing, products, "
                "pixel_grid, range_search or float_precision."
            )
    for key, value in defaults.items():
        if isinstance(value, dict | list):
            raise InputError(
                f"{place}: a recipe has defaults and [[rule]] tables, saw the table '{key}'. Write "
                "[[rule]]."
            )
    if {"match", "op", "target"} & set(defaults):
        raise InputError(f"{place}:1: match, op and target belong in a [[rule]]. Move them there.")
    return Recipe(rules=tuple(rules), defaults=_rule(defaults, place, 1, observers), path=place)


def _decisions(rule: Rule) -> dict[str, Any]:
    """Return the fields that a rule sets, as its table in a file."""
    values = {f.name: getattr(rule, f.name) for f in fields(Rule) if f.name not in NOT_IN_FILE}
    defaults = {f.name: f.default for f in fields(Rule)}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _rule(row: Mapping[str, Any], path: str, line: int, observers: Sequence[str]) -> Rule:
    """Return the rule of a table; raises InputError for a key or a choice that is unknown."""
    keys = [f.name for f in fields(Rule) if f.name not in NOT_IN_FILE]
    for key, value in row.items():
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"{path}:{line}: a rule has no '{key}'.{hint} Known: {', '.join(sorted(keys))}."
            )
        allowed = tuple(observers) if key == "observer" else CHOICES.get(key)
        if not isinstance(value, str) or (allowed and value not in allowed):
            choices = ", ".join(sorted(allowed)) if allowed else "a text"
            raise InputError(
                f"{path}:{line}: {key} is one of: {choices}; saw '{value}'. Choose one of them."
            )
    return Rule(**row, line=line)
