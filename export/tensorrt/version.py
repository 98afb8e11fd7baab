"""Versions of TensorRT, as text and as NVIDIA's single number."""

__all__ = ["TRT_VERSION", "Version", "trt_version", "version_of"]

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quant.common.errors import InputError
from quant.target.version_flag import VersionFlag

if TYPE_CHECKING:
    from quant.target.deployment import Deployment

USUAL = {8: (6, 1), 10: (3, 0), 11: (0, 0)}
"""Minor and patch where only the major version is given; they appear in a cache's first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of TensorRT: 8, 10 or 11, with minor and patch."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """Return "10.3.0"."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def number(self) -> int:
        """NV_TENSORRT_VERSION: major * 1000 (10 and later: 10000) + minor * 100 + patch.

        Source: NvInferRuntimeBase.h 10.16, line 98; caches of 8.2.3 begin with TRT-8203.
        """
        return self.major * (1000 if self.major < 10 else 10000) + self.minor * 100 + self.patch

    @property
    def implicit(self) -> bool:
        """Whether it takes a calibration cache and lists of layer precisions: all before 11."""
        return self.major < 11


def trt_version(text: str) -> Version:
    """Return the version that "8", "10", "11" or one with minor and patch ("8.6.1") names.

    A major version alone stands for 8.6.1, 10.3.0 or 11.0.0.

    Raises:
        InputError: It is no such version.
    """
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.\d+)?", text)
    major = int(match[1]) if match else 0
    if match is None or major not in USUAL:
        raise InputError(
            f"TensorRT version: it must be 8, 10 or 11, with or without minor and patch, saw "
            f"'{text}'. Give one of them."
        )
    minor, patch = USUAL[major]
    if match[2] is not None:
        minor, patch = int(match[2]), int(match[3] or 0)
    return Version(major=major, minor=minor, patch=patch)


TRT_VERSION = VersionFlag(
    target="tensorrt",
    flag="--trt-version",
    default="10",
    help="TensorRT version the files are for: 8, 10 or 11, or in full, as 8.6.1.",
    check=trt_version,
)


def version_of(deployment: "Deployment") -> Version:
    """Return the version of TensorRT that a deployment asks for.

    Raises:
        InputError: It is no version of TensorRT.
    """
    return trt_version(TRT_VERSION.of(deployment.versions))
