"""`atc.sh`: the POSIX shell script that compiles the offline model."""

__all__ = ["atc_script", "input_shape"]

import shlex

import onnx_ir as ir

from quant.common.errors import UnsupportedError
from quant.graph.prepared_graph import Graph

USAGE = "usage: sh atc.sh [aipp]"

HEAD = """#!/bin/sh
# Compiles deploy_model.onnx to an offline model; the argument "aipp" lets the chip preprocess images.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")"
if ! command -v atc >/dev/null 2>&1; then
    echo "atc.sh: atc is not in PATH. Run '. set_env.sh' of the CANN toolkit first." >&2
    exit 127
fi
"""

WITHOUT = """if [ "$#" -ne 0 ]; then
    echo "usage: sh atc.sh (this export has no AIPP)" >&2
    exit 2
fi
output=out/deploy_model
"""

WITH = """case "${{1-}}" in
"")
    output=out/deploy_model
    set --
    ;;
aipp)
    output=out/deploy_model_aipp
    set -- --insert_op_conf=aipp.cfg
    ;;
*)
    echo "{usage}" >&2
    exit 2
    ;;
esac
"""

TAIL = """mkdir -p out
atc {arguments} \\
    --output="$output" "$@"
echo "written: $output.om"
"""


def input_shape(graph: Graph) -> str:
    """Return ATC's --input_shape: every input with its sizes; a dynamic batch is 1.

    Raises:
        UnsupportedError: Another axis is dynamic, or a name has a character that ATC splits at.
    """
    parts = []
    for value in graph.inputs:
        name = str(value.name)
        place = f"{graph.source or graph.name}, input {name!r}"
        if ";" in name or name.splitlines() != [name]:
            raise UnsupportedError(
                f"{place}: ATC splits --input_shape at semicolons and line breaks, saw a name with "
                "one. Rename the input."
            )
        sizes: list[object] = list(value.shape) if value.shape is not None else []
        if not all(isinstance(s, int) for s in sizes[1:]) or not sizes:
            raise UnsupportedError(
                f"{place}: ATC compiles for fixed sizes, saw {[str(s) for s in sizes]}. "
                "Export the model with fixed sizes behind the batch."
            )
        batch = sizes[0] if isinstance(sizes[0], int) else 1
        parts.append(f"{name}:{','.join(map(str, [batch, *sizes[1:]]))}")
    return ";".join(parts)


def atc_script(graph: Graph, soc_version: str, *, aipp: bool, keep_dtype: bool) -> str:
    """Return the script, to be run on a machine with CANN.

    Args:
        graph: The prepared graph, for names and sizes of the inputs.
        soc_version: The chip that ATC compiles for.
        aipp: The export has an `aipp.cfg`, so the script takes the argument "aipp".
        keep_dtype: The export has a `keep_dtype.cfg`.

    Raises:
        UnsupportedError: The cases of `input_shape`.
    """
    images = all(v.shape is not None and len(v.shape) == 4 for v in graph.inputs)
    arguments = [
        "--framework=5",
        "--model=deploy_model.onnx",
        f"--soc_version={soc_version}",
        f"--input_format={'NCHW' if images else 'ND'}",
        f"--input_shape={input_shape(graph)}",
        "--precision_mode=force_fp16",
        "--log=error",
    ]
    if all(v.dtype == ir.DataType.FLOAT for v in graph.outputs):
        arguments.append("--output_type=FP32")
    if keep_dtype:
        arguments.append("--keep_dtype=keep_dtype.cfg")
    quoted = " \\\n    ".join(shlex.quote(a) for a in arguments)
    middle = WITH.format(usage=USAGE) if aipp else WITHOUT
    return HEAD + middle + TAIL.format(arguments=quoted)
