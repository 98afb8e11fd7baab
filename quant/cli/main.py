"""The command line: parse, call one stage, print; errors end here.

Exit codes: 0 passed, 1 a limit breached, 2 the user can mend it, 3 our bug.
"""

__all__ = ["main", "quant"]

import os
import sys
import traceback

import click

from quant.cli.calibrate import calibrate, demo, search
from quant.cli.check import check
from quant.cli.command import Group
from quant.cli.gate import gate, verify
from quant.cli.list_parts import list_parts
from quant.cli.report import diff, report
from quant.cli.roofline import roofline
from quant.cli.select import select
from quant.cli.stages import choose, export, merge, profile, simulate
from quant.common.errors import GateError, QuantError

COMMANDS = {
    "Main job": (demo, calibrate, search),
    "Before": (list_parts, check, select, roofline),
    "Stage by stage": (profile, merge, choose, simulate, export),
    "After": (report, diff, gate, verify),
}
"""Every command, in the order of a project."""


@click.group(
    cls=Group,
    sections={section: [c.name for c in commands] for section, commands in COMMANDS.items()},
    examples=r"""
    quant demo
    quant calibrate --model net.onnx --data photos/ --size 224x224 \
        --mean 127 --std 128 --target tensorrt
    quant calibrate --help
    """,
    epilog="Exit codes: 0 done; 1 a limit is breached or a check has errors; 2 something that was "
    "given must be mended; 3 a bug of quant. Shell completion: docs/cli.md.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    invoke_without_command=True,
)
@click.version_option(package_name="boardquant", prog_name="quant")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def quant(context: click.Context, debug: bool) -> None:
    """Quantize a trained vision model for the chip that will run it.

    quant reads a float ONNX model and a folder of images, and writes INT8 files for ONNX Runtime,
    TensorRT, OpenVINO, Atlas and NNIE, with the error of every layer and the reason for every
    choice.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _commands in COMMANDS.values():
    for _command in _commands:
        quant.add_command(_command)


def main() -> None:
    """Run the command line and exit with its code."""
    # torch's threads would spin between two steps, against ONNX Runtime's: 87 s instead of 12
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        code = quant(words, prog_name="quant", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("interrupted; the same command resumes where it stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {_sentence(error)}", err=True)
        sys.exit(2)
    except QuantError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        sys.exit(1 if isinstance(error, GateError) else 2)
    except Exception as error:  # noqa: BLE001  the last door: whatever comes here is our bug
        traceback.print_exc()
        click.echo(f"error: this is a bug of quant, not of your input: {error!r}", err=True)
        sys.exit(3)


def _sentence(error: click.ClickException) -> str:
    """Return what the parser found wrong, and where the right words stand."""
    text = " ".join(error.format_message().split())
    text = text if text.endswith((".", "?")) else f"{text}."
    context = getattr(error, "ctx", None)
    return f"{text} See {context.command_path} --help." if context is not None else text


if __name__ == "__main__":
    main()
