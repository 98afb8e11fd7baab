"""The differences between two runs as text for a terminal."""

__all__ = ["diff_text"]

import math

from quant.results.run_diff import LayerDiff, RunDiff, TargetDiff
from quant.visualize.label import escaped, shortened

MOST = 30
"""At most this many layers are listed; JSON and the page have all of them."""


def diff_text(diff: RunDiff) -> str:
    """Return one table per target, the worst change first; unchanged layers are only counted."""
    lines = [f"{escaped(diff.before)} -> {escaped(diff.after)}"]
    lines += [f"  {escaped(note)}" for note in diff.notes]
    for target in diff.targets:
        lines += ["", *_target(target)]
    return "\n".join(lines)


def _target(target: TargetDiff) -> list[str]:
    before, after = (escaped(w) for w in target.words)
    lines = [f"{target.target}: {before} -> {after}"]
    counts = ", ".join(
        f"{target.count(change)} {change}"
        for change in ("worse", "better", "added", "gone", "same")
    )
    lines.append(f"  SQNR {_pair(target.sqnr_db)} dB; layers: {counts}")
    listed = [x for x in target.layers if x.change != "same" or x.plan][:MOST]
    if not listed:
        return [*lines, "  no layer changed"]
    lines.append(f"  {'layer':36}  {'isolated dB':>15}  {'cumulative dB':>15}  change")
    for x in listed:
        name = shortened(escaped(x.layer), 36)
        lines.append(
            f"  {name:36}  {_pair(x.isolated_db):>15}  {_pair(x.cumulative_db):>15}  {_words(x)}"
        )
        lines += [f"      {shortened(escaped(change), 200)}" for change in x.plan]
    return lines


def _pair(values: tuple[float, float]) -> str:
    return " -> ".join("-" if math.isnan(v) else f"{v:.1f}" for v in values)


def _words(x: LayerDiff) -> str:
    gain = "" if math.isnan(x.gain) or not x.gain else f" by {abs(x.gain):.1f} dB"
    return f"{x.change}{gain if x.change in ('better', 'worse') else ''}"
