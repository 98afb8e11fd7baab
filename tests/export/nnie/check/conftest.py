"""A good NNIE export, and a copy of it to break."""

import shutil
from pathlib import Path

import pytest

from quant.preprocess.image_to_tensor import Preprocess
from tests.export.nnie.check.broken_export import check_net
from tests.export.nnie.exports import written


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "nnie"
    preprocess = Preprocess(size=(16, 16), mean=(1.0, 2.0, 3.0), std=(4.0,))
    written(check_net(), folder, preprocess, high=("conv1",))
    return folder


@pytest.fixture
def export(good: Path, tmp_path: Path) -> Path:
    """Return a copy of the good export, to break."""
    return Path(shutil.copytree(good, tmp_path / "export"))
