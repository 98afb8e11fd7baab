"""A precision for each group of layers, as rules of a recipe and as a recipe file."""

__all__ = ["recipe_text", "with_assignment"]

import glob
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from quant.formats.precision import Precision
from quant.plan.recipe import Recipe, Rule
from quant.search.groups import Group


def with_assignment(
    recipe: Recipe,
    groups: Sequence[Group],
    precisions: Sequence[Precision],
    target: str,
    because: Mapping[str, str] | None = None,
) -> Recipe:
    """Return the recipe with a rule in front for each layer of the groups.

    Args:
        recipe: The user's rules; what they say of other things than precision still holds.
        groups: The groups.
        precisions: One for each of them.
        target: The rules are for it alone.
        because: Reasons by group name.
    """
    reasons = because or {}
    rules = [
        Rule(
            match=glob.escape(layer),
            target=glob.escape(target),
            precision=precision,
            because=reasons.get(group.name, f"searched: {precision}"),
        )
        for group, precision in zip(groups, precisions, strict=True)
        for layer in group.layers
    ]
    return replace(recipe, rules=(*rules, *recipe.rules))


def recipe_text(
    groups: Sequence[Group], precisions: Sequence[Precision], target: str, head: Sequence[str]
) -> str:
    """Return an assignment as a recipe file that `--recipe` takes.

    Args:
        groups: The groups.
        precisions: One for each of them.
        target: The rules are for it alone.
        head: Lines for a reader, written as comments.
    """
    lines = [f"# {line}" for line in head]
    for group, precision in zip(groups, precisions, strict=True):
        for layer in group.layers:
            lines += [
                "",
                "[[rule]]",
                f"match = {_quoted(glob.escape(layer))}",
                f"target = {_quoted(glob.escape(target))}",
                f"precision = {_quoted(precision)}",
            ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML basic string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
