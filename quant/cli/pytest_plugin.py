"""The fixture `quant_gate`: a quantized model's gate as a test.

    def test_the_board_model_is_good_enough(quant_gate):
        quant_gate(run="quant-out/net", config="gate.toml")

It is there wherever the package is installed; nothing is imported before it is used.
"""

__all__ = ["GateCheck", "quant_gate"]

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quant.gate.limits import Verdict

GateCheck = Callable[..., "Verdict"]
"""Takes either `run` or `reference`, `candidate` and `data`, and what else `quant gate` takes."""

CONTEST = ("reference", "candidate", "data")
CHANGES = ("confidence", "undecided")


@pytest.fixture
def quant_gate() -> GateCheck:
    """Return a function that fails the test, with the table of limits, when a gate does not pass.

    Keywords: `run`, `baseline`; or `reference`, `candidate`, `data`, and any field of
    `quant.gate.two_models.TwoModels`, with `preprocess` a Preprocess or the path of a TOML file; `config`, or
    `max_drop`, `min_agreement`, `min_sqnr`; `confidence`, `undecided`. It returns the Verdict of a
    gate that passes.
    """
    return _check


def _check(
    *,
    run: str | Path | None = None,
    baseline: str | Path | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> "Verdict":
    from quant.common.errors import QuantError
    from quant.gate.run_gate import FLAG_MEASURES, chosen_gate, gate_run, limits_of_flags
    from quant.visualize.terminal.verdict import verdict_text

    quick = limits_of_flags({flag: options.pop(flag, None) for flag in FLAG_MEASURES})
    changes = {key: options.pop(key, None) for key in CHANGES}
    try:
        gate = chosen_gate(_path(config), quick, changes, needed=baseline is None)
        if run is not None:
            verdict = gate_run(Path(run), gate, _path(baseline), **options)
        else:
            from quant.gate.compare_models import gate_models

            verdict = gate_models(_contest(options), gate)
    except QuantError as error:
        pytest.fail(f"quant gate: {error}", pytrace=False)
    if not verdict.passed:
        pytest.fail(verdict_text(verdict), pytrace=False)
    return verdict


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _contest(options: dict[str, Any]) -> Any:
    from quant.gate.two_models import TwoModels
    from quant.preprocess.image_to_tensor import Preprocess

    missing = [name for name in CONTEST if name not in options]
    if missing:
        raise TypeError(
            f"quant_gate needs run=, or {'=, '.join(CONTEST)}=; {missing[0]}= is missing."
        )
    given = options.pop("preprocess", None)
    how = given if isinstance(given, Preprocess) else Preprocess()
    if isinstance(given, str | Path):
        how = Preprocess.from_toml(Path(given))
    texts = {k: str(v) for k, v in options.items() if k in ("reference", "data", "labels")}
    rival = Path(options.pop("candidate"))
    return TwoModels(candidate=rival, preprocess=how, **(options | texts))
