"""Refusal: why one node cannot be expressed, raised where it is seen and turned into a Finding."""

__all__ = ["Refusal", "finding"]

from quant.target.finding import Finding


class Refusal(Exception):
    """What a converter saw that NNIE's Caffe cannot say.

    Args:
        rule: Number of the lint rule that it would break.
        saw: What is there.
        wanted: What NNIE takes.
        mend: One sentence: what to do.
    """

    def __init__(self, rule: int, saw: str, wanted: str, mend: str) -> None:
        super().__init__(saw)
        self.rule, self.saw, self.wanted, self.mend = rule, saw, wanted, mend


def finding(refusal: Refusal, place: str, layer: str | None = None) -> Finding:
    """Return the finding about a place: "node 'conv1'"."""
    return Finding(
        rule=f"nnie-{refusal.rule}",
        severity="error",
        place=place,
        saw=refusal.saw,
        wanted=refusal.wanted,
        mend=refusal.mend,
        layer=layer,
    )
