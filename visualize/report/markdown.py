"""The report of a run as Markdown, short enough for a pull request."""

__all__ = ["report_markdown"]

import math
import re

from quant.results.advice import actions, rating_of
from quant.results.layer_causes import noise_shares
from quant.results.saved_run import SavedRun, SavedTarget
from quant.results.saved_search import SavedSearch
from quant.visualize.label import escaped, shortened
from quant.visualize.search_sentences import (
    additivity_sentence,
    cost_text,
    points_text,
    result_sentence,
    sqnr_text,
)

SIGNS = {"good": "\u2705", "fair": "\u26a0\ufe0f", "bad": "\u274c", "unknown": "\u2753"}
WORST = 8


def report_markdown(run: SavedRun) -> str:
    """Return ratings, the worst layers and recipes; names from models cannot become markup."""
    data = run.facts.get("data") or {}
    where = "held-out ones" if data.get("held_out") else "of the same"
    lines = [
        f"## Quantization of {_safe(run.graph.name)}",
        "",
        f"Calibrated on {data.get('samples')} samples, measured on {data.get('measured')} {where}.",
        "",
        "| target | verdict | SQNR | layers in integers |",
        "|---|---|---|---|",
    ]
    for target in run.targets:
        rating = rating_of(target.facts)
        sqnr = (target.facts.get("simulated") or {}).get("sqnr_db")
        counts = target.facts.get("layers") or {}
        lines.append(
            f"| {_safe(target.name)} | {SIGNS[rating.level]} {_safe(rating.words)} | "
            f"{'-' if sqnr is None else f'{sqnr:.1f} dB'} | "
            f"{counts.get('weighted_integer')} of {counts.get('weighted')} |"
        )
    for target in run.targets:
        if target.search is not None and target.search.points:
            lines += ["", *_search(target.name, target.search)]
        lines += ["", *_target(target, target.name if len(run.targets) > 1 else "")]
    return "\n".join(lines) + "\n"


def _target(target: SavedTarget, only: str) -> list[str]:
    shares = noise_shares(target.rows)
    rows = {r.layer: r for r in target.rows}
    worst = sorted(shares, key=lambda n: -shares[n])[:WORST]
    lines = [f"### {_safe(target.name)}: worst layers", ""]
    lines += ["| layer | quantized alone | share of noise | likely cause |", "|---|---|---|---|"]
    for name in worst:
        causes = target.causes.get(name) or []
        value = rows[name].isolated_sqnr_db
        sqnr = f"{value:.1f} dB" if math.isfinite(value) else "lossless"
        cause = _safe(causes[0].words) if causes else ""
        lines.append(f"| {_safe(name)} | {sqnr} | {100 * shares[name]:.0f} % | {cause} |")
    for action in actions(target, only=only)[:3]:
        if action.recipe and action.share >= 0.01:
            fence = "`" * (2 + max([2, *map(len, re.findall("`+", action.recipe))]))
            share, count = f"{100 * action.share:.0f} % of the noise", len(action.layers)
            head = f"{_safe(action.title)}: {share}, recipe for {count} layers"
            lines += ["", f"<details><summary>{head}</summary>", "", f"{fence}toml"]
            lines += [action.recipe.rstrip("\n"), fence, "", "</details>"]
    return lines


def _search(name: str, search: SavedSearch) -> list[str]:
    """Return the chosen plan, the uniform plans and the limits of a search."""
    lines = [f"### {_safe(name)}: mixed precision", "", _safe(result_sentence(search)), ""]
    lines += ["| plan | cost | SQNR | lost |", "|---|---|---|---|"]
    plans = [p for p in search.points if p.chosen]
    plans += [p for p in search.points if search.uniform(p) is not None and not p.chosen]
    for plan in plans:
        precision = search.uniform(plan)
        words = f"all {precision}" if precision is not None else plan.layers
        head = f"**{_safe(words)}**" if plan.chosen else _safe(words)
        is_measured = plan.measured_db is not None
        sqnr = f"{sqnr_text(plan.sqnr_db)}{'' if is_measured else ' predicted'}"
        drop = "-" if plan.drop is None else points_text(plan.drop)
        lines.append(f"| {head} | {cost_text(search, plan.cost)} | {sqnr} | {drop} |")
    least = "-" if search.min_sqnr is None else f"at least {search.min_sqnr:g} dB"
    most = "-" if search.max_drop is None else f"at most {points_text(search.max_drop)}"
    budget = "-" if search.most_cost is None else f"at most {cost_text(search, search.most_cost)}"
    return [
        *lines,
        f"| limit | {budget} | {least} | {most} |",
        "",
        _safe(additivity_sentence(search)),
    ]


def _safe(text: str) -> str:
    r"""Return a text with every character of Markdown and HTML escaped.

    >>> _safe("a|b <i>*c*</i>")
    'a\\|b &lt;i&gt;\\*c\\*&lt;/i&gt;'
    """
    text = shortened(escaped(text), 240).replace("&", "&amp;")
    text = text.replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", text)
