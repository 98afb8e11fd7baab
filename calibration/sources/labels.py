"""The class of each sample, from a CSV file or from one folder for each class."""

__all__ = ["read_labels"]

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from quant.calibration.sources.data import Labels, printable
from quant.common.errors import InputError, few, reason_of


def read_labels(labels: Labels, keys: Sequence[str], data: str) -> tuple[int, ...] | None:
    """Return a class from 0 for each key, or None if `labels` is None.

    A CSV file has the columns `file` and `label`, and any others, in a header. A file is matched by
    its key (the path below the data folder), else by its base name where only one row and only one
    key have it. "folders" numbers, in sorted order, the folders of the first level at which the paths
    of the images differ.

    Args:
        labels: A CSV file, "folders", or None.
        keys: The samples' keys.
        data: The user's --data, for messages.

    Raises:
        InputError: The file cannot be read, lacks a column, has a label that is no whole number, or
            a file twice; a sample has no label; or no row is about a sample.
    """
    if labels is None:
        return None
    if labels == "folders":
        return _folder_classes(keys, data)
    rows = _read_csv(Path(labels))
    label_of = _matched(rows, keys)
    missing = [key for key in keys if key not in label_of]
    if len(missing) == len(keys):
        raise InputError(
            f"{labels}: none of its {len(rows)} files is in {data}, for example "
            f"{few(map(printable, list(rows)[:1]))} and {few(map(printable, keys[:1]))}. "
            f"Write paths relative to the data folder."
        )
    if missing:
        raise InputError(
            f"{labels}: every sample needs a label, saw none for {len(missing)} of {len(keys)}: "
            f"{few(map(printable, missing))}. Add rows for them, or move them away."
        )
    return tuple(label_of[key] for key in keys)


def _folder_classes(keys: Sequence[str], data: str) -> tuple[int, ...]:
    loose = [key for key in keys if "/" not in key]
    if loose:
        raise InputError(
            f"--labels folders: every image lies in the folder of its class, saw {len(loose)} "
            f"directly in {data}: {few(map(printable, loose))}. Move them, or give a CSV file."
        )
    folders = [PurePosixPath(key).parent.parts for key in keys]
    depth = min(map(len, folders))  # a list may name its images by a longer way
    differ = (i for i in range(depth) if len({parts[i] for parts in folders}) > 1)
    level = next(differ, depth - 1)
    tops = [parts[level] for parts in folders]
    numbers = {name: i for i, name in enumerate(sorted(set(tops)))}
    return tuple(numbers[top] for top in tops)


def _read_csv(path: Path) -> dict[str, int]:
    """Return the label of each file."""
    rows: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in ("file", "label") if name not in header]
            if missing:
                raise InputError(
                    f"{path}:1: a header names the columns 'file' and 'label', saw "
                    f"{few(map(printable, header)) or 'none'}. Add the column '{missing[0]}'."
                )
            at_file, at_label = header.index("file"), header.index("label")
            for row in reader:
                if not row:
                    continue
                place = f"{path}:{reader.line_num}"
                text = row[at_label].strip() if at_label < len(row) else ""
                if not re.fullmatch("[0-9]{1,9}", text):
                    raise InputError(
                        f"{place}: a label is a whole number from 0, saw '{printable(text)}'. "
                        f"Write the index of the class."
                    )
                name = str(PurePosixPath(row[at_file])) if at_file < len(row) else ""
                if name in rows:
                    raise InputError(
                        f"{place}: '{printable(name)}' is labelled twice. Remove one of the rows."
                    )
                rows[name] = int(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}. Mend the path.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not CSV in UTF-8: {error}. Save it again.") from error
    return rows


def _matched(rows: Mapping[str, int], keys: Sequence[str]) -> dict[str, int]:
    """Return the label of each key that a row is about."""
    row_counts = Counter(PurePosixPath(name).name for name in rows)
    key_counts = Counter(PurePosixPath(key).name for key in keys)
    by_base = {PurePosixPath(name).name: label for name, label in rows.items()}
    label_of = {key: rows[key] for key in keys if key in rows}
    for key in keys:
        base = PurePosixPath(key).name
        if key not in label_of and row_counts[base] == 1 == key_counts[base]:
            label_of[key] = by_base[base]
    return label_of
