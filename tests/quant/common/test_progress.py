"""Progress bars: in a notebook and on a terminal, and nowhere where they were not asked for."""

import sys
from types import SimpleNamespace

import pytest

from quant.common.progress import Progress


def test_a_quiet_run_shows_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(Progress(quiet=True).bar(iter("abc"), 3, "profile")) == ["a", "b", "c"]
    assert "".join(capfd.readouterr()) == ""


def test_a_stream_that_is_no_terminal_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(Progress().bar(iter("abc"), 3, "profile")) == ["a", "b", "c"]
    assert "".join(capfd.readouterr()) == ""


def test_a_notebook_shows_the_bar_though_its_streams_are_no_terminals(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"IPKernelApp": {}}))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    assert list(Progress().bar(iter("abc"), 3, "profile")) == ["a", "b", "c"]
    assert "profile" in capfd.readouterr().err
