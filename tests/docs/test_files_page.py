"""docs/files.md describes `run.json` as it is written: every key once, and none that is not there."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from quant.common.progress import Progress
from quant.demo import unpack
from quant.job.search_goal import SearchGoal
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate
from tests.tree import ROOT

LATER = {"verified", "predicted_ms", "predicted"}
"""Keys of other targets, or of other commands."""


@pytest.fixture(scope="module")
def keys() -> list[str]:
    """Return the keys of the table about run.json, as they stand in the page."""
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    table = page.split("## run.json")[1].split("\n## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return [key for cell in cells for key in re.findall(r"`([^`]+)`", cell)]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Return the run.json of a small search, which has more keys than other runs."""
    folder: Path = tmp_path_factory.mktemp("run")
    files = unpack(folder / "input")
    job = Job(
        model=str(files.model),
        data=str(files.images),
        preprocess=Preprocess.from_toml(files.preprocess),
        out=folder / "out",
        samples=24,
        holdout=16,
        layer_samples=0,
        effort="fast",
        goal=SearchGoal(min_sqnr=20.0, axis="ops", samples=8, groups=2),
        threads=1,
    )
    calibrate(job, Progress(quiet=True))
    read: dict[str, object] = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))
    return read


def test_no_key_stands_twice(keys: list[str]) -> None:
    """Two rows of one key with different words: nobody knows which is true."""
    assert [key for key, count in Counter(keys).items() if count > 1] == []


def test_the_page_has_the_keys_of_a_run_and_no_others(
    keys: list[str], facts: dict[str, object]
) -> None:
    """A script that reads run.json is written from this page."""
    target = "targets.<name>"
    of_run = {key for key in keys if not key.startswith(target)}
    of_target = {key.removeprefix(f"{target}.") for key in keys if key.startswith(f"{target}.")}
    written = facts["targets"]["onnxruntime"]  # type: ignore[index]

    assert of_run == set(facts) - {"targets"}
    assert of_target - LATER == set(written)
