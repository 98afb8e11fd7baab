"""Chips of Ascend, as ATC's `--soc_version` names them."""

__all__ = ["OLD_CHIP", "SOC_VERSION"]

from quant.target.version_flag import VersionFlag

OLD_CHIP = "Ascend310"
"""The first chip, whose ATC (CANN 5 and 6) takes opset 11 only and has fewer kernels."""

SOC_VERSION = VersionFlag(
    target="atlas",
    flag="--soc-version",
    default=OLD_CHIP,
    metavar="SOC",
    help="Atlas chip the files are for, such as Ascend310, Ascend310P3 or Ascend310B1.",
)
