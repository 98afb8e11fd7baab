"""One cause of a layer's loss of accuracy, with its evidence and a remedy to paste."""

__all__ = ["KINDS", "Cause", "CauseKind", "bits_left", "recipe_of", "rule_text"]

import glob
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from quant.common.errors import few

CauseKind: TypeAlias = Literal[
    "weight-scale",
    "weight-outlier",
    "outlier",
    "saturation",
    "wasted-range",
    "channels",
    "shared-grid",
    "mixed-head",
    "tail",
    "first",
    "last",
    "sensitive",
    "rounding",
]

KINDS: Mapping[CauseKind, str] = MappingProxyType(
    {
        "weight-scale": "one scale for unequal weight channels",
        "weight-outlier": "outliers in the weight",
        "outlier": "outliers in the activation",
        "saturation": "values beyond the grid",
        "wasted-range": "a grid wider than its values",
        "channels": "one channel of the activation much wider than the others",
        "shared-grid": "a grid shared with a wider neighbour",
        "mixed-head": "different quantities in one tensor",
        "tail": "a softmax or sigmoid tail that rounds to zero",
        "first": "first layer",
        "last": "last layer, or a head",
        "sensitive": "a layer that the outputs depend on",
        "rounding": "rounding noise",
    }
)
"""The words for each kind of cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A likely cause of a layer's error.

    Attributes:
        kind: One of KINDS.
        strength: Evidence over its threshold; above 1 for all but the first and the last layer.
        evidence: One phrase with the numbers.
        key: The field of a recipe's rule that cures it: "precision", "weights", ...; "" for no remedy.
        value: The value of that field.
        place: The node, or the network input, that the rule is about.
        here: Whether `place` is the layer itself.
        also: Other nodes that need the same rule: the maker of an input, whose kernel can only write
            integers, or the readers of a Concat, who would put it on one grid again.
    """

    kind: CauseKind
    strength: float
    evidence: str
    key: str = ""
    value: str = ""
    place: str = ""
    here: bool = True
    also: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """The rule's line, with the name of the node where it is another one."""
        if not self.key:
            return ""
        if self.also:
            return f'{self.key} = "{self.value}" for it and {few(self.also, 2)}'
        return f'{self.key} = "{self.value}"' + ("" if self.here else f" for '{self.place}'")

    @property
    def words(self) -> str:
        """Evidence and remedy as one phrase."""
        return "; ".join(part for part in (self.evidence, self.remedy) if part)

    def recipe(self, target: str = "") -> str:
        """Return the rules to paste, for one target or for all; "" without a remedy."""
        if not self.key:
            return ""
        rules = (rule_text(p, self.key, self.value, target) for p in (self.place, *self.also))
        return "\n".join(rules)


def rule_text(place: str, key: str, value: str, target: str = "") -> str:
    r"""Return a recipe's rule about one node, whatever its name holds, for one target or for all.

    Args:
        place: Name of the node.
        key: The field that the rule sets.
        value: The value of that field.
        target: Name of the target; "" for all.

    >>> print(rule_text("conv[1]", "weights", "per-channel"), end="")
    [[rule]]
    match = "conv[[]1]"
    weights = "per-channel"
    """
    only = f"target = {_quoted(glob.escape(target))}\n" if target else ""
    return f"[[rule]]\nmatch = {_quoted(glob.escape(place))}\n{only}{key} = {_quoted(value)}\n"


def _quoted(text: str) -> str:
    """Return a basic string of TOML; it is JSON's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def recipe_of(causes: Iterable[Cause], target: str = "") -> str:
    """Return the rules of several causes, each once, in their order."""
    return "\n".join(dict.fromkeys(rule for c in causes if (rule := c.recipe(target))))


def bits_left(ratio: float) -> str:
    """Return how many of 8 bits are left of a grid that is `ratio` times too wide."""
    return f"{max(8 - np.log2(ratio), 0):.1f}"
