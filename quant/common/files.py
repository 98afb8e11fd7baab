"""Files that are written whole or not at all."""

__all__ = [
    "KeyedFile",
    "atomic",
    "finite",
    "json_text",
    "read_json",
    "staged",
    "write_json",
    "write_text",
]

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.common.errors import InputError, reason_of


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path in a scratch folder beside `path`; on success move what was written there.

    Every file that the body leaves in the scratch folder is moved (an ONNX file and its `.data`),
    `path` itself last. When the body raises, nothing stays.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    if not path.name or path.is_dir():
        raise InputError(f"{path}: a file is wanted, and this is a folder. Add a name to --out.")
    with _scratch(path) as scratch:
        yield scratch / path.name
        for file in sorted(scratch.iterdir(), key=lambda p: p.name == path.name):
            os.replace(file, path.parent / file.name)


@contextmanager
def staged(folder: Path, last: Sequence[str] = (), stale: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a scratch folder beside `folder`; on success move what was written there into it.

    A file or folder of the same name is replaced, others in `folder` stay. When the body raises,
    `folder` is as it was. Killed while it moves, `folder` lacks the files of `last`: they are
    removed first, and moved after all others.

    Args:
        folder: Made if it does not exist.
        last: Names of the files without which the others are of no use.
        stale: Names that an earlier export may have left; removed.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a folder is wanted, and this is a file. Choose another --out.")
    with _scratch(folder) as scratch:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        yield new
        folder.mkdir(exist_ok=True)
        old.mkdir()
        for name in [*last, *stale]:
            if (folder / name).exists():
                os.replace(folder / name, old / name)
        for file in sorted(new.iterdir(), key=lambda p: (p.name in last, p.name)):
            place = folder / file.name
            if place.is_dir():
                os.replace(place, old / file.name)
            os.replace(file, place)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, removed in the end; an OSError becomes an error about `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".quant-", dir=path.parent))
    except OSError as error:
        raise _refused(path, error) from error
    try:
        yield scratch
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written: {reason_of(error)}. Choose another --out.")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with LF line ends, atomically."""
    with atomic(path) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write JSON, two spaces, keys in the order given, floats exact; non-finite ones become null."""
    write_text(path, json_text(value) + "\n")


def json_text(value: object) -> str:
    """Return JSON as `write_json` writes it, without the last line break."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False)


def finite(value: object) -> object:
    """Return `value` with every non-finite float as None: JSON has no word for them."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    return value


def read_json(path: Path, kind: str, mend: str) -> dict[str, Any]:
    """Return the JSON object in a file; raises InputError if the file is missing or holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable {kind}: {reason_of(error)}. {mend}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a {kind}, saw a {type(content).__name__}. {mend}.")
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedFile:
    """A JSON file of results that are kept for later runs, read back only where the key is the same.

    Attributes:
        path: The file.
        format: Name and version of its content.
        key: Fingerprint of all that its content depends on.
    """

    path: Path
    format: str
    key: str

    def read(self) -> dict[str, Any] | None:
        """Return the content; None where the file is not there, broken, or of another key."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        head = {"format": self.format, "key": self.key}
        return content if isinstance(content, dict) and head.items() <= content.items() else None

    def write(self, content: Mapping[str, object]) -> None:
        """Write the content behind format and key, atomically."""
        write_json(self.path, {"format": self.format, "key": self.key, **content})
