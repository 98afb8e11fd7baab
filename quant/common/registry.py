"""A table of named parts that finds its own entries: one mechanism for all four extension points.

A part registers itself with ``@TABLE.add("name")`` in a module of the table's package, or in a
package of its own there. A part that is asked for by name is looked for under that name first, so
that one target does not cost the import of all; a list, or an unknown name, imports every part.
Third parties register through an entry-point group, which belongs to no path of ours.
"""

__all__ = ["Registry"]

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, TypeVar

from quant.common.errors import InputError, QuantError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
        group: The entry-point group of third parties; without it the name of the package.
        member: The module that registers a part which is a package itself ("target"); "" where
            every part is a module.

    Raises:
        InputError: A name is asked for that nobody registered, or registered twice; or the package
            of a third party does not import.
    """

    def __init__(self, kind: str, package: str, group: str = "", member: str = "") -> None:
        self._kind, self._package, self._member = kind, package, member
        self._group = group or package
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
        if name not in self._table:
            self._load_one(name)
        if name not in self._table:
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

    def items(self) -> list[tuple[str, T]]:
        """Return every name with its part."""
        return [(name, self._table[name]) for name in self]

    def values(self) -> list[T]:
        """Return every part."""
        return [self._table[name] for name in self]

    def __len__(self) -> int:
        self._load()
        return len(self._table)

    def _load_one(self, name: str) -> None:
        """Import the module or package that bears the name of a part, if there is one."""
        for module in self._parts():
            if module.name == name:
                self._import(module)

    def _parts(self) -> list[pkgutil.ModuleInfo]:
        package = importlib.import_module(self._package)
        return list(pkgutil.iter_modules(getattr(package, "__path__", [])))

    def _import(self, module: pkgutil.ModuleInfo) -> None:
        """Import what registers a part; a package without the member is shared by the parts."""
        full = f"{self._package}.{module.name}"
        if not module.ispkg:
            importlib.import_module(full)
        elif self._member:
            path = importlib.import_module(full).__path__
            if any(inner.name == self._member for inner in pkgutil.iter_modules(path)):
                importlib.import_module(f"{full}.{self._member}")

    def _load_point(self, point: "EntryPoint") -> None:
        """Import a third party's part; raises InputError where its package does not import."""
        try:
            point.load()
        except QuantError:  # our own sentence, as of a name that two packages register
            raise
        except Exception as error:  # whatever a package of somebody else's raises
            raise InputError(
                f"entry point '{point.name}' of the group '{self._group}': '{point.value}' must "
                f"import, and said '{type(error).__name__}: {error}'. Update its package, or "
                "uninstall it."
            ) from error

    def _load(self) -> None:
        if self._complete:
            return
        from importlib.metadata import entry_points  # here: it costs 20 ms

        self._complete = True  # a module that asks while it is imported must not begin again
        try:
            for module in self._parts():
                self._import(module)
            for point in entry_points(group=self._group):
                self._load_point(point)
        except BaseException:
            self._complete = False
            raise
