"""Help texts: sections, defaults and choices, whole lines, and examples that run as they stand."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import click
import onnx
import pytest
from click.testing import CliRunner

from quant.cli.command import Command, Option
from quant.cli.main import COMMANDS, main, quant
from quant.demo import unpack
from tests import models

EVERY_COMMAND = pytest.mark.parametrize("name", sorted(quant.commands))
LONG = ("calibrate", "search")
"""Commands that get --effort fast and few samples; their other options stay as they are."""
SHORT = "--effort fast --samples 16 --holdout 16 --layer-samples 2 --search-samples 8"


def help_of(*words: str) -> list[str]:
    done = CliRunner().invoke(quant, [*words, "--help"], prog_name="quant")
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def options_of(name: str) -> list[click.Parameter]:
    command = quant.commands[name]
    return command.get_params(click.Context(command))


def test_the_commands_stand_in_the_order_of_a_project_each_on_one_line() -> None:
    """Who sees `quant --help` for the first time reads it from the top."""
    lines = help_of()
    at = [lines.index(f"{section}:") for section in COMMANDS]

    assert at == sorted(at)
    assert at[0] > lines.index("Examples:")
    for commands in COMMANDS.values():
        for command in commands:
            text = (command.help or "").split("\n")[0]
            assert re.fullmatch(r"[A-Z].*[^.]\.", text), text
            assert [x for x in lines if re.fullmatch(rf"  {command.name} +{re.escape(text)}", x)]


@pytest.mark.parametrize("name", ["", *sorted(quant.commands)])
def test_no_line_is_longer_than_a_terminal_or_cut(name: str) -> None:
    """80 columns, and no line that ends in three dots because there was no room."""
    lines = help_of(*([name] if name else []))

    assert [x for x in lines if len(x) > 80] == []
    assert "\\b" not in "\n".join(lines)


@EVERY_COMMAND
def test_every_command_has_examples_before_its_options(name: str) -> None:
    """People look there first."""
    command, lines = quant.commands[name], help_of(name)

    assert isinstance(command, Command)
    assert command.examples
    assert any(f"quant {name}" in example for example in command.examples)
    assert lines.index("Examples:") < lines.index("Output:")
    for example in command.examples:
        assert example.split("\n")[0] in "\n".join(lines)


@EVERY_COMMAND
def test_every_option_says_what_it_is_with_its_default(name: str) -> None:
    """A whole sentence with a subject; what is optional has a default or changes nothing."""
    for option in options_of(name):
        if not isinstance(option, Option):
            continue
        text = (option.help or "").split("  [default")[0]

        assert re.match(r"[A-Z]", text), (option.opts, text)
        assert text.endswith("."), (option.opts, text)
        assert not re.match(r"(Of|For|In|That|As|Others|To) ", text), (option.opts, text)
        assert len(text.split()) > 2, (option.opts, text)
        if isinstance(option.default, str | int | float | tuple | Path) and not option.is_flag:
            assert "[default: " in (option.help or ""), option.opts


def photo_net() -> onnx.ModelProto:
    """Return a small classifier of 10 classes for images of 224x224, as most examples have it."""
    weights = models.weights(0, w1=(8, 3, 3, 3), b1=(8,), w2=(16, 8, 3, 3), b2=(16,))
    weights |= models.weights(1, w3=(10, 16), b3=(10,))
    return models.model(
        """g (float[N,3,224,224] input) => (float[N,10] output) {
            [conv1] a = Conv<pads=[1,1,1,1], strides=[4,4]>(input, w1, b1)
            [relu1] b = Relu(a)
            [conv2] c = Conv<pads=[1,1,1,1], strides=[4,4]>(b, w2, b2)
            [relu2] d = Relu(c)
            [pool] e = GlobalAveragePool(d)
            [flat] f = Flatten(e)
            [fc] output = Gemm<transB=1>(f, w3, b3)
        }""",
        weights,
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every file that the examples name and do not make."""
    folder = tmp_path_factory.mktemp("desk")
    files = unpack(folder)
    shutil.move(files.images, folder / "photos")
    onnx.save(photo_net(), folder / "net.onnx")
    photos = sorted((folder / "photos").glob("*.png"))[:40]
    for name, part in (("half1", photos[:20]), ("half2", photos[20:])):
        (folder / f"{name}.txt").write_text("".join(f"{p}\n" for p in part), encoding="utf-8")
    limit = '[[limit]]\nmeasure = "sqnr_db"\nmin = 5\n'
    (folder / "gate.toml").write_text(limit, encoding="utf-8")
    rows = [{"count": 10}, {"name": "conv1 + relu1", "averageMs": 0.1, "percentage": 100.0}]
    (folder / "profile.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_every_example_runs_as_it_stands(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the commands, for later ones read what earlier ones wrote."""
    monkeypatch.chdir(desk)
    for section, commands in COMMANDS.items():
        for command in commands:
            for example in command.examples:
                name, *words = shlex.split(example.replace("\\\n", " "))[1:]
                extra = shlex.split(SHORT) if name in LONG else []
                monkeypatch.setattr(sys, "argv", ["quant", name, *words, *extra])
                with pytest.raises(SystemExit) as caught:
                    main()

                assert caught.value.code in ALLOWED.get(name, (0,)), (
                    f"{example}\n{capsys.readouterr().err}"
                )
        if section == "Main job":
            shutil.copy("quant-out/net/onnxruntime/model.onnx", "net_int8.onnx")
            shutil.copy("quant-out/net/tensorrt/model.onnx", "somebodys_qdq.onnx")


ALLOWED = {"gate": (0, 1), "check": (0, 1), "search": (0, 1)}
"""Exit codes: 1 says that a limit is breached, or that a check has errors: the command did run."""
