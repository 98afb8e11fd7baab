"""A transformer goes the whole way: attention, LayerNorm, a mean, and an output of class numbers."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from quant.common.progress import Progress
from quant.job.settings import Job
from quant.preprocess.image_to_tensor import Preprocess
from quant.run.calibrate import calibrate

MODULE = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, 8)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        tokens = self.block(self.patch(x).flatten(2).transpose(1, 2))
        logits = self.head(tokens.mean(1))
        return logits, logits.argmax(-1)


def small():
    torch.manual_seed(0)
    return Small().eval(), (torch.zeros(1, 3, 32, 32),)
"""


def test_a_transformer_is_measured_layer_by_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime once refused the two networks side by side: it moved a Transpose wrongly."""
    (tmp_path / "small_transformer.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    images = np.random.default_rng(0).normal(0, 1, (24, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    job = Job(
        model="small_transformer:small",
        data=str(tmp_path / "x.npy"),
        out=tmp_path / "out",
        preprocess=Preprocess(),
        samples=16,
        holdout=8,
        threads=1,
    )
    run = calibrate(job, Progress(quiet=True))
    found = json.loads((tmp_path / "out" / "run.json").read_text())["targets"]["onnxruntime"]

    assert len(found["simulated"]["outputs"]) == 1, "class numbers have no SQNR"
    assert found["simulated"]["sqnr_db"] > 20
    integer = [r for r in run.results["onnxruntime"].layers.rows if r.precision == "int8"]
    assert {r.op for r in integer} >= {"Conv", "Gemm"}
    assert all(np.isfinite(r.cumulative_sqnr_db) and r.isolated_sqnr_db > 10 for r in integer)
