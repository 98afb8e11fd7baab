"""The command `quant roofline`, for the command line."""

__all__ = ["roofline"]

from pathlib import Path
from typing import Any

import click

from quant.cli.options import model_option

FILE = click.Path(path_type=Path)


@click.command()
@model_option
@click.option("--target", required=True, metavar="NAME", help="`quant list targets` names them.")
@click.option("--device", metavar="D", help="Of the target's table, or a .toml file of yours.")
@click.option("--bandwidth", type=float, metavar="GB/S", help="Instead of the device's.")
@click.option(
    "--size", multiple=True, metavar="WxH", help="Of open axes; or NAME=1x3x224x224. Repeat."
)
@click.option("--batch", type=int, default=1, show_default=True, help="Samples in one inference.")
@click.option(
    "--precision", multiple=True, metavar="P", help="Repeat.  [default: what the chip has]"
)
@click.option("--float-precision", metavar="P", help="Of layers that cannot be quantized.")
@click.option("--measured", type=FILE, help="CSV, trtexec's profile or msprof's op_summary.")
@click.option("--csv", "csv_path", type=FILE, help="Write every layer of every network.")
@click.option("--figure", type=FILE, help="Write a figure: roofline.png.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def roofline(csv_path: Path | None, figure: Path | None, as_json: bool, **options: Any) -> None:
    """Predict each layer's time on a chip from public figures, and hold it against measured ones.

    \b
    quant roofline --model net.onnx --target tensorrt --device xavier-nx
    quant roofline --model net.onnx --target nnie --device board.toml --figure roofline.png
    quant roofline --model net.onnx --target tensorrt --precision int8 --measured profile.json
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
