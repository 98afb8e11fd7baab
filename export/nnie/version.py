"""Versions of NNIE, with their chips and mappers."""

__all__ = ["CHIPS", "MAPPERS", "NNIE_VERSION"]

from quant.target.version_flag import VersionFlag

CHIPS = {"1.1": "Hi3559AV100", "1.2": "Hi3519AV100, Hi3516CV500, Hi3516DV300"}
"""Chips of an NNIE version, by public notes."""

MAPPERS = {"1.1": "nnie_mapper_11", "1.2": "nnie_mapper_12"}
"""Version to the program of the board's SDK that compiles a network."""

NNIE_VERSION = VersionFlag(
    target="nnie",
    flag="--nnie-version",
    default="1.2",
    choices=tuple(MAPPERS),
    help="NNIE version the files are for: "
    + "; ".join(f"{version} is {chips}" for version, chips in CHIPS.items())
    + ".",
)
