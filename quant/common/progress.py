"""The progress of a run on stderr: lines, bars, the time of each stage, warnings for the end."""

__all__ = ["Progress"]

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Progress:
    """What one run prints on stderr while it works; results go to stdout by other ways.

    Attributes:
        quiet: Prints nothing but warnings.
        seconds: Wall time of each stage so far, by name.
        warnings: Sentences to show once, at the end.
    """

    quiet: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Keep a warning for the end; the same one is kept once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def bar(self, items: Iterable[T], total: int, title: str) -> Iterable[T]:
        """Return the items behind a progress bar: in a notebook, or where stderr is a terminal."""
        if self.quiet:
            return items
        with warnings.catch_warnings():  # a notebook without ipywidgets gets the bar of text
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # here, so that `quant --help` stays quick
        off = False if _in_notebook() else None  # None: off where there is no terminal
        bar: Iterable[T] = tqdm(
            items, total=total, desc=title, unit="batch", leave=False, disable=off
        )
        return bar

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the body to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _in_notebook() -> bool:
    """Return whether IPython's kernel runs this, whose streams are no terminals and show bars."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
