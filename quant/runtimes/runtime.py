"""Runtime: a program that executes a target's export on this machine."""

__all__ = ["KernelProfiler", "Runtime"]

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from quant.runtimes.kernel import Feeds, KernelTime


class KernelProfiler(Protocol):
    """A model that a runtime executes and whose kernels it times."""

    def run(self, feeds: Feeds) -> None:
        """Execute one inference."""

    def kernels(self, skip: int) -> list[KernelTime]:
        """Return the kernels with their times; the first `skip` runs do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One program, as the tables of targets name it.

    Attributes:
        name: As on the command line (`--runtime`) and in reports.
        title: As people write it.
        package: Its name for pip.
        open: Opens a file with threads inside one operator, 0 for all cores. Returns an object with
            the `get_inputs`, `get_outputs` and `run(names, feeds)` of an ONNX Runtime session.
            Raises InputError for a file of another kind, UnsupportedError where the program is not
            installed or refuses the model.
        period: Inferences that its profiler counts together; it runs a multiple of them.
        profile: Opens an ONNX file in a folder of its own to time its kernels, with threads as
            above; None where the program has no profiler.
    """

    name: str
    title: str
    package: str
    open: Callable[[Path, int], Any]
    period: int = 1
    profile: Callable[[Path, int], KernelProfiler] | None = None

    @property
    def version(self) -> str | None:
        """The version that is installed here, or None."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None
