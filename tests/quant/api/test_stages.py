"""The stages one by one: objects or files, each with the numbers of the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import quant
from quant.profile.statistics import Profile
from quant.target.finding import errors
from tests.models import conv_relu_net, image

SAMPLES = image(batch=12)
CLASSES = [i % 10 for i in range(12)]


@pytest.fixture(scope="module")
def net() -> onnx.ModelProto:
    return conv_relu_net()


@pytest.fixture(scope="module")
def profile(net: onnx.ModelProto) -> Profile:
    return quant.profile(net, SAMPLES, progress=False)


def test_profiles_of_two_halves_merge_into_that_of_all(
    net: onnx.ModelProto, profile: Profile, tmp_path: Path
) -> None:
    path = tmp_path / "half.safetensors"
    quant.profile(net, SAMPLES[:5], out=path, progress=False)
    rest = quant.profile(net, SAMPLES[5:], progress=False)
    quant.merge(path, rest, out=tmp_path / "all.safetensors")
    quant.merge(profile, out=tmp_path / "one.safetensors")

    assert profile.provenance.samples == 12
    assert (tmp_path / "all.safetensors").read_bytes() == (
        tmp_path / "one.safetensors"
    ).read_bytes()
    with pytest.raises(quant.InputError) as caught:
        quant.merge(rest, profile, rest + profile, path)
    assert caught.type is quant.InputError
    with pytest.raises(quant.InputError) as same:
        quant.merge(path, path)
    assert str(same.value) == (
        f"{path}: it is of the same 5 samples as what was merged before it, and they would count "
        "twice. Leave it out."
    )
    with pytest.raises(quant.InputError, match=r"^merge: it needs profiles, saw none\. "):
        quant.merge()


def test_a_plan_simulates_exports_and_compares(
    net: onnx.ModelProto, profile: Profile, tmp_path: Path
) -> None:
    """The exported graph computes what the simulation promised."""
    plan = quant.choose(net, profile, "tensorrt", observer="minmax", out=tmp_path / "plan.json")
    simulated = quant.simulate(net, plan)
    written = quant.export(
        net, tmp_path / "plan.json", tmp_path / "out", profile=profile, data=SAMPLES, samples=12
    )
    session = onnxruntime.InferenceSession(simulated.SerializeToString())
    found = quant.compare(
        net, simulated, SAMPLES, labels=CLASSES, metrics="top5", samples=10, progress=False
    )
    exported = quant.compare(net, tmp_path / "out" / "model.onnx", SAMPLES, progress=False)

    assert plan.target == "tensorrt"
    assert session.run(None, {"input": SAMPLES})[0].shape == (12, 10)
    assert written.exported.files[0] == "model.onnx"
    assert (tmp_path / "out" / "plan.json").read_bytes() == (tmp_path / "plan.json").read_bytes()
    assert found.samples == 10
    assert set(found.scores) == {"top5"}
    assert found.sqnr_db == pytest.approx(exported.sqnr_db, abs=3)


def test_a_check_reads_models_and_exports_in_memory_and_in_files(
    net: onnx.ModelProto, profile: Profile, tmp_path: Path
) -> None:
    onnx.save(net, tmp_path / "net.onnx")
    quant.export(net, quant.choose(net, profile, "tensorrt"), tmp_path / "out", profile=profile)
    quantized = onnx.load(tmp_path / "out" / "model.onnx")
    found = quant.check(net, ["tensorrt", "nnie"])

    assert found == quant.check(tmp_path / "net.onnx", ["tensorrt", "nnie"])
    assert list(found) == ["tensorrt", "nnie"]
    for model in (quantized, tmp_path / "out"):
        assert errors(quant.check(model, "tensorrt")["tensorrt"]) == []


def test_a_gate_judges_two_models(net: onnx.ModelProto, profile: Profile) -> None:
    simulated = quant.simulate(net, quant.choose(net, profile))
    models: dict[str, Any] = {"reference": net, "candidate": simulated, "data": image(batch=40)}

    assert quant.gate(**models, min_sqnr=10, progress=False).passed
    assert not quant.gate(**models, min_sqnr=90, progress=False).passed
    verdict = quant.gate(**models, labels=[0] * 40, max_drop="90%", progress=False)
    assert verdict.results[0].limit.bound == 0.9


@pytest.mark.parametrize(
    ("given", "seen"),
    [({}, "none of them"), ({"reference": 1}, "reference"), ({"run": "r", "data": 1}, "run, data")],
)
def test_a_gate_takes_a_run_or_two_models(given: dict[str, Any], seen: str) -> None:
    with pytest.raises(quant.InputError) as caught:
        quant.gate(**given, max_drop=0.01)

    assert str(caught.value) == (
        f"gate: it takes a run, or reference, candidate and data, saw {seen}. Give one or the other."
    )


def test_a_plan_of_another_model_is_refused(profile: Profile, net: onnx.ModelProto) -> None:
    plan = quant.choose(net, profile)
    for use in (
        lambda: quant.choose(conv_relu_net(seed=1), profile),
        lambda: quant.simulate(conv_relu_net(seed=1), plan),
    ):
        with pytest.raises(quant.InputError, match=r"another (graph|model)"):
            use()


def test_what_a_profile_skips_is_warned_of(net: onnx.ModelProto, tmp_path: Path) -> None:
    """A function that returns no run has no other place to say it."""
    good = np.zeros((16, 16, 3), np.uint8)
    (tmp_path / "bad.png").write_text("no image")
    with pytest.warns(UserWarning, match=r"^sample 'samples\[2\]' was skipped: ") as caught:
        quant.profile(
            net, [good, good, tmp_path / "bad.png"], mean=127, max_bad="50%", progress=False
        )

    assert caught[0].filename == __file__
