"""The command `quant check`: what a target refuses, before and after."""

__all__ = ["check"]

import json
from pathlib import Path
from typing import Any

import click

from quant.cli.command import option
from quant.cli.options import chip_options, json_option
from quant.cli.preprocess_options import preprocess_of, preprocess_options
from quant.cli.table_values import TARGET
from quant.cli.target_command import TargetCommand
from quant.cli.values import FILE
from quant.common.errors import GateError


@click.command(
    cls=TargetCommand,
    examples=r"""
    quant check net.onnx --target tensorrt --target atlas --target nnie
    quant check quant-out/net/tensorrt --target tensorrt
    quant check somebodys_qdq.onnx --target tensorrt --trt-version 8
    """,
)
@click.argument("file", type=FILE)
@option(
    "--target",
    "targets",
    section="Targets",
    type=TARGET,
    multiple=True,
    required=True,
    metavar="NAME",
    help="Runtime or chip to check for; repeat for several: {names}.",
)
@preprocess_options
@chip_options
@json_option
def check(file: Path, targets: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """List what a target refuses or does badly, before or after.

    FILE is a float ONNX model; or, afterwards, the folder of an export or one file of it
    (quantized ONNX, prototxt, mapper cfg), whoever made it. Exit code 1 when there are errors.
    """
    from quant.api.judge import check as check_model
    from quant.target.finding import errors, findings_json, findings_text

    found = check_model(file, targets, preprocess=preprocess_of(options), **options)
    if as_json:
        checks = [findings_json(name, findings) for name, findings in found.items()]
        click.echo(json.dumps({"file": str(file), "checks": checks}, indent=2))
    for name, findings in () if as_json else found.items():
        click.echo(f"{file} for {name}:\n{findings_text(findings)}")
    counts = {name: len(errors(findings)) for name, findings in found.items()}
    if any(counts.values()):
        text = ", ".join(f"{n} error{'s' * (n != 1)} for {name}" for name, n in counts.items() if n)
        raise GateError(f"{file}: {text}. Mend what is named above.")
