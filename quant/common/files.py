"""Files that are written whole or not at all."""

__all__ = [
    "atomic",
    "finite",
    "json_text",
    "read_json",
    "staged",
    "whole",
    "write_json",
    "write_text",
]

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quant.common.errors import InputError


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".quant-", dir=path.parent))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror or error}. Choose another --out."
        ) from error
    try:
        yield scratch / path.name
        for made in sorted(scratch.iterdir(), key=lambda p: p.name == path.name):
            os.replace(made, path.parent / made.name)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror or error}. Choose another --out."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder beside `folder`; on success move what was written there into it.

    A file or folder of the same name is replaced, others in `folder` stay. When the body raises,
    `folder` is as it was.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a folder is wanted, and this is a file. Choose another --out.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".quant-", dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror or error}. Choose another --out."
        ) from error
    try:
        yield scratch
        folder.mkdir(exist_ok=True)
        for made in sorted(scratch.iterdir()):
            old = folder / made.name
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            os.replace(made, old)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror or error}. Choose another --out."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


@contextmanager
def whole(folder: Path, last: Sequence[str], stale: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a scratch folder beside `folder`; on success move what was written there into it.

    A folder of the same name is replaced, not mixed. What else is in `folder` stays. When the body
    raises, `folder` is as it was. Killed while it moves, it lacks the files of `last`: they go
    first, and come when all others stand.

    Args:
        folder: Made if it does not exist.
        last: Names of the files without which nobody can use the others.
        stale: Names that an earlier export may have left; removed.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".quant-", dir=folder.parent))
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        new = scratch / "new"
        new.mkdir()
        yield new
        _move(new, folder, scratch / "old", last, stale)
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move(new: Path, folder: Path, old: Path, last: Sequence[str], stale: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    old.mkdir()
    for name in [*last, *stale]:
        if (folder / name).exists():
            os.replace(folder / name, old / name)
    for made in sorted(new.iterdir(), key=lambda p: (p.name in last, p.name)):
        there = folder / made.name
        if there.is_dir():
            os.replace(there, old / made.name)
        os.replace(made, there)


def _refused(folder: Path, error: OSError) -> InputError:
    said = error.strerror or str(error)
    return InputError(f"{folder}: cannot be written: {said}. Choose another --out.")


def read_json(path: Path, what: str, mend: str) -> dict[str, Any]:
    """Return a JSON object; raises InputError if the file is missing or is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable {what}: {error}. {mend}.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a {what}, saw a {type(found).__name__}. {mend}.")
    return found
