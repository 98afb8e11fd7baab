"""A folder of files that belong together, left whole or not at all."""

__all__ = ["whole"]

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from quant.common.errors import InputError


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
