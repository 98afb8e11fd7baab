"""Post-training quantization of vision models: profile, choose, simulate, export, explain.

    run = quant.calibrate("net.onnx", "photos/", ["tensorrt"], size=(224, 224), mean=127, std=128)

`docs/api.md` describes the functions. Several bear the name of a room of this package: `quant.profile`
is the function, and `from quant.profile.statistics import Profile` reaches into the room.
"""

__all__ = [
    "GateError",
    "InputError",
    "Preprocess",
    "QuantError",
    "Recipe",
    "Rule",
    "Run",
    "UnsupportedError",
    "__version__",
    "calibrate",
    "check",
    "choose",
    "compare",
    "export",
    "gate",
    "merge",
    "profile",
    "search",
    "simulate",
]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from quant.api.run import Run
from quant.common.errors import GateError, InputError, QuantError, UnsupportedError
from quant.common.version import VERSION as __version__

for _room in ("choose", "compare", "export", "gate", "profile", "search", "simulate"):
    import_module(f"quant.{_room}")  # its first import binds the room: before the functions do

from quant.api.judge import check, compare, gate
from quant.api.main_job import calibrate, search
from quant.api.stages import choose, export, merge, profile, simulate

if TYPE_CHECKING:
    from quant.plan.recipe import Recipe, Rule
    from quant.preprocess.image_to_tensor import Preprocess

_LATER = {
    "Preprocess": "quant.preprocess.image_to_tensor",
    "Recipe": "quant.plan.recipe",
    "Rule": "quant.plan.recipe",
}
"""Classes whose modules import numpy, by the module that is imported when one is asked for."""


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'quant' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
