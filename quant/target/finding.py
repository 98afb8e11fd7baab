"""Findings: what a target will not take, or will take badly, and what to do about it."""

__all__ = ["Finding", "Rules", "Severity", "errors", "findings_json", "findings_text", "in_order"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

Severity = Literal["error", "warning", "info"]

Node = TypeVar("Node")

ORDER: dict[str, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule saw at one place.

    Attributes:
        rule: Target and number of the rule, "tensorrt-9"; `quant list rules` names them all.
        severity: "error": the target refuses it or computes something else; "warning": slow or
            risky; "info": worth knowing.
        place: "node 'conv1'", "tensor 'x'", or a file's name; names stand in single quotes.
        saw: What is there: "a zero point of dtype uint8".
        wanted: What the target takes: "int8".
        mend: One sentence that says what to do.
        layer: Node name of the graph that the finding is about; None for a file or the whole.
    """

    rule: str
    severity: Severity
    place: str
    saw: str
    wanted: str
    mend: str
    layer: str | None = None

    def __str__(self) -> str:
        """Return "tensorrt-9 error, node 'conv1': saw ..., wanted .... Mend.", on one line."""
        contrast = f"saw {self.saw}, wanted {self.wanted}".rstrip(".")
        text = f"{self.rule} {self.severity}, {self.place}: {contrast}. {self.mend}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Rules(Generic[Node]):
    """The numbered rules of a target's checks, which every finding of these checks names.

    Attributes:
        target: Name of the target: rule 9 of "tensorrt" is "tensorrt-9".
        lines: By name of the rule one line about it.
        locate: Returns the place and the layer of a node, of whatever class the checks read; None
            where they name every place in words.
    """

    target: str
    lines: Mapping[str, str]
    locate: Callable[[Node], tuple[str, str | None]] | None = None

    def finding(
        self,
        number: int,
        severity: Severity,
        place: str | Node,
        *,
        saw: str,
        wanted: str,
        mend: str,
        layer: str | None = None,
    ) -> Finding:
        """Return what a rule saw, with the fields of a `Finding`.

        Args:
            number: Number of the rule.
            severity: As in `Finding`.
            place: In words, or a node: then its layer is the finding's, where none is given.
            saw: As in `Finding`.
            wanted: As in `Finding`.
            mend: As in `Finding`.
            layer: As in `Finding`.

        Raises:
            KeyError: The target lists no rule of this number.
        """
        rule = f"{self.target}-{number}"
        if rule not in self.lines:
            raise KeyError(rule)
        if not isinstance(place, str):
            if self.locate is None:
                raise TypeError(f"rules of {self.target} take a place in words")
            place, node_layer = self.locate(place)
            layer = layer or node_layer
        return Finding(
            rule=rule,
            severity=severity,
            place=place,
            saw=saw,
            wanted=wanted,
            mend=mend,
            layer=layer,
        )


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings of severity "error": what the target refuses."""
    return [f for f in findings if f.severity == "error"]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return them in the order of their rules' numbers."""
    return sorted(findings, key=lambda f: int(f.rule.rpartition("-")[2]))


def findings_text(findings: Sequence[Finding]) -> str:
    """Return a line a finding, errors first, and a line that counts them."""
    ranked = sorted(findings, key=lambda f: ORDER[f.severity])
    count = {name: sum(f.severity == name for f in findings) for name in ORDER}
    total = ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for name, n in count.items() if n)
    return "\n".join([*map(str, ranked), total or "nothing found"])


def findings_json(target: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the content of `check.json`."""
    ranked = sorted(findings, key=lambda f: ORDER[f.severity])
    count = {name: sum(f.severity == name for f in findings) for name in ORDER}
    return {
        "schema": 1,
        "target": target,
        "errors": count["error"],
        "warnings": count["warning"],
        "findings": [asdict(f) for f in ranked],
    }
