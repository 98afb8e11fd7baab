"""The command `quant roofline`, for the command line."""

__all__ = ["roofline"]

from pathlib import Path
from typing import Any

import click

from quant.cli.command import Command, option
from quant.cli.options import json_option, model_option
from quant.cli.table_values import DEVICE, PRECISIONS, TARGET
from quant.cli.values import FILE


@click.command(
    cls=Command,
    examples=r"""
    quant roofline --model net.onnx --target tensorrt --device xavier-nx
    quant roofline --model net.onnx --target nnie --bandwidth 6.4 \
        --figure roofline.png
    quant roofline --model net.onnx --target tensorrt --precision int8 \
        --measured profile.json
    """,
)
@model_option
@option(
    "--target",
    section="Device",
    type=TARGET,
    required=True,
    metavar="NAME",
    help="Runtime or chip family: {names}.",
)
@option(
    "--device",
    section="Device",
    type=DEVICE,
    metavar="NAME",
    default_text="the target's first",
    help="Chip; `quant list devices` names them. Or a .toml file of yours.",
)
@option(
    "--bandwidth",
    section="Device",
    type=float,
    metavar="GB/S",
    default_text="the device's",
    help="Memory bandwidth in 10^9 bytes a second.",
)
@option(
    "--size",
    section="Input",
    multiple=True,
    metavar="WxH",
    help="Width and height where the model leaves them open; or NAME=1x3x224x224 for one input. "
    "Repeat for several inputs.",
)
@option(
    "--batch",
    section="Input",
    type=int,
    default=1,
    metavar="N",
    help="Number of samples in one inference.",
)
@option(
    "--precision",
    section="Device",
    type=PRECISIONS,
    multiple=True,
    metavar="P",
    default_text="all that the chip has",
    help="Precision to predict for; repeat for several. `quant list precisions` names them.",
)
@option(
    "--float-precision",
    section="Device",
    type=PRECISIONS,
    metavar="P",
    default_text="the target's first float",
    help="Precision of layers that cannot be quantized.",
)
@option(
    "--measured",
    section="Input",
    type=FILE,
    metavar="FILE",
    help="Measured times to compare with: CSV, trtexec's profile, or msprof's op_summary.",
)
@option(
    "--csv",
    "csv_path",
    section="Output",
    type=FILE,
    metavar="FILE",
    help="Write every layer at every precision.",
)
@option(
    "--figure",
    section="Output",
    type=FILE,
    metavar="FILE",
    help="Write a figure, such as roofline.png.",
)
@json_option
def roofline(csv_path: Path | None, figure: Path | None, as_json: bool, **options: Any) -> None:
    """Predict each layer's time on a chip from its public figures.

    A layer takes the longer of its operations over the peak rate and its bytes over the memory
    bandwidth: a lower bound, since kernel launches are not counted. With --measured it compares
    the prediction with measured times.
    """
    from quant.common.files import json_text, write_text
    from quant.cost.network_cost import network_cost_csv, network_cost_json
    from quant.cost.predict import CostQuestion, predict_cost

    roof = predict_cost(CostQuestion(**options))
    if csv_path is not None:
        write_text(csv_path, network_cost_csv(roof))
    if figure is not None:
        from quant.visualize.figures.roofline import write_roofline

        write_roofline(roof, figure)
    if as_json:
        click.echo(json_text(network_cost_json(roof)))
        return
    from quant.visualize.terminal.roofline import roofline_text

    click.echo(roofline_text(roof))
