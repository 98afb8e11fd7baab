"""Run Caffe networks in two independent programs: OpenCV and MNN.

OpenCV runs here. MNN's converter prints, and crashes where it should complain, so it runs in a
process of its own, one for many networks, each of which gets a fork. Its command `mnnconvert` is
never called, for that would install packages; the native function behind it is.
"""

__all__ = ["Job", "mnn_outputs", "opencv_outputs"]

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.export.caffe.network.files import parse_prototxt

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A network and what to feed it with.

    Attributes:
        prototxt: The structure.
        caffemodel: The weights.
        feeds: By input blob.
        blobs: What to return.
    """

    prototxt: str
    caffemodel: bytes
    feeds: Arrays
    blobs: tuple[str, ...]


def opencv_outputs(job: Job) -> dict[str, NDArray[np.float32]]:
    """Return each blob as OpenCV's dnn module computes it.

    It is asked for layers, so a blob is asked for by the last layer that writes it.
    """
    import cv2

    text = np.frombuffer(job.prototxt.encode(), np.uint8)
    net = cv2.dnn.readNetFromCaffe(text, np.frombuffer(job.caffemodel, np.uint8))
    for name, array in job.feeds.items():
        net.setInput(np.ascontiguousarray(array, np.float32), name)
    found = {}
    for blob in job.blobs:
        last = _writer(job, blob)
        # OpenCV calls a layer that makes an output after the blob, unless it works in place
        pin = last.name if last.name in net.getLayerNames() else blob
        outputs = net.forwardAndRetrieve([pin])[0][list(last.top).index(blob)]
        found[blob] = np.array(outputs)
    return found


def _writer(job: Job, blob: str) -> Any:
    """Return the last layer that writes a blob."""
    layers = parse_prototxt(job.prototxt, "prototxt").layer
    return next(layer for layer in reversed(layers) if blob in layer.top)


def mnn_outputs(jobs: Sequence[Job]) -> list[dict[str, NDArray[np.float32]] | str]:
    """Return for every job each blob's numbers, flat, as MNN computes them, or why it could not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for index, job in enumerate(jobs):
            (folder / f"{index}.prototxt").write_text(job.prototxt)
            (folder / f"{index}.caffemodel").write_bytes(job.caffemodel)
            np.savez(folder / f"{index}.in.npz", **job.feeds)
            lines = [f"{blob}\t{_writer(job, blob).name}" for blob in job.blobs]
            (folder / f"{index}.blobs").write_text("\n".join(lines))
        subprocess.run([sys.executable, "-c", PROGRAM, name], check=True, capture_output=True)
        return [_result(folder, index) for index in range(len(jobs))]


def _result(folder: Path, index: int) -> dict[str, NDArray[np.float32]] | str:
    """Return what the process left."""
    made = folder / f"{index}.out.npz"
    if made.exists():
        with np.load(made) as arrays:
            return {name: arrays[name].reshape(-1) for name in arrays.files}
    log = folder / f"{index}.log"
    return log.read_text(errors="replace")[-300:] or "it crashed"


PROGRAM = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import MNN, _tools
from pathlib import Path


def run(folder, index):
    stem = str(folder / str(index))
    _tools.mnnconvert(["x", "-f", "CAFFE", "--modelFile", stem + ".caffemodel", "--prototxt",
                       stem + ".prototxt", "--MNNModel", stem + ".mnn", "--bizCode", "t"])
    held = MNN.Interpreter(stem + ".mnn")
    held.setSessionHint(3, 0)  # the small Winograd kernels: the large ones err by 2e-4
    session = held.createSession({"numThread": 1, "precision": "high"})
    inputs = held.getSessionInputAll(session)
    for name, array in np.load(stem + ".in.npz").items():
        array = np.ascontiguousarray(array, np.float32)
        held.resizeTensor(inputs[name], array.shape)
    held.resizeSession(session)
    for name, array in np.load(stem + ".in.npz").items():
        array = np.ascontiguousarray(array, np.float32)
        kind = MNN.Tensor_DimensionType_Caffe
        host = MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, kind)
        inputs[name].copyFrom(host)
    held.runSession(session)
    made = {}
    outputs = held.getSessionOutputAll(session)
    for line in (folder / f"{index}.blobs").read_text().split("\\n"):
        name, layer = line.split("\\t")
        tensor = outputs[name if name in outputs else layer]  # the latter for one in place
        shape = tensor.getShape()
        host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32),
                          MNN.Tensor_DimensionType_Caffe)
        tensor.copyToHostTensor(host)
        made[name] = np.array(host.getNumpyData()).copy()
    np.savez(stem + ".tmp.npz", **made)
    os.rename(stem + ".tmp.npz", stem + ".out.npz")


folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.prototxt")):
    child = os.fork()
    if child == 0:
        log = os.open(folder / (path.stem + ".log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            run(folder, path.stem)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
