"""A table of named parts that finds its own entries: one mechanism for all four extension points.

A part registers itself with ``@TABLE.add("name")``. The table imports every module of its folder,
and every entry point of the group of the same name, when it is first asked.
"""

__all__ = ["Registry"]

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from quant.common.errors import InputError

T = TypeVar("T")
U = TypeVar("U")


def _origin(part: object) -> str:
    """Return where a part is defined, for a message that names both sides of a clash."""
    module = getattr(part, "__module__", type(part).__module__)
    return f"{module}.{getattr(part, '__qualname__', getattr(part, 'name', '?'))}"


class Registry(Generic[T]):
    """Named parts of one kind, in alphabetical order.

    Args:
        kind: What a part is, in the singular; the messages use it ("observer").
        package: The package whose modules register the parts ("quant.observers").
            Third parties use an entry-point group of the same name.

    Raises:
        InputError: A name is asked for that nobody registered, or registered twice.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind, self._package = kind, package
        self._table: dict[str, T] = {}
        self._complete = False

    def add(self, name: str) -> Callable[[U], U]:
        """Return a decorator that registers a part under `name`."""

        def register(part: U) -> U:
            old = self._table.get(name)
            if old is not None and _origin(old) != _origin(part):
                raise InputError(
                    f"{self._kind} '{name}' is registered twice: by {_origin(old)} and by "
                    f"{_origin(part)}. Rename one of them."
                )
            self._table[name] = part  # type: ignore[assignment]
            return part

        return register

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._table:
            near = get_close_matches(name, self._table, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(
                f"No {self._kind} is named '{name}'.{hint} Known: {', '.join(sorted(self))}."
            )
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._table))

    def __len__(self) -> int:
        self._load()
        return len(self._table)

    def _load(self) -> None:
        if self._complete:
            return
        self._complete = True  # a module that asks while it is imported must not begin again
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                importlib.import_module(f"{self._package}.{module.name}")
            for point in entry_points(group=self._package):
                point.load()
        except BaseException:
            self._complete = False
            raise
