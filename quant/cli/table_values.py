"""Values of options that stand in tables: targets, observers, metrics, runtimes, devices, precisions."""

__all__ = ["DEVICE", "METRIC", "OBSERVER", "PRECISIONS", "RUNTIME", "SENSITIVITY", "TARGET"]

import click
from click.shell_completion import CompletionItem

from quant.cli.parts import (
    device_names,
    metric_name,
    metric_names,
    observer_name,
    observer_names,
    precision_names,
    runtime_name,
    runtime_names,
    target_name,
    target_names,
)
from quant.cli.values import CompletedText, FromTable

TARGET = FromTable("target", target_name, target_names)
OBSERVER = FromTable("observer", observer_name, observer_names)
RUNTIME = FromTable("runtime", runtime_name, runtime_names)
METRIC = FromTable("metric", metric_name, metric_names)
SENSITIVITY = FromTable("sensitivity", metric_name, metric_names, more=("nmse", "kl"))


class _Device(CompletedText):
    """The name of a chip, or a .toml file; which names there are, the target says."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the devices of the targets given so far, and paths."""
        given = ctx.params.get("targets") or ctx.params.get("target") or ()
        names = device_names((given,) if isinstance(given, str) else given)
        found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return found or super().shell_complete(ctx, param, incomplete)


class _Precisions(CompletedText):
    """Names of precisions, separated by commas."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the last name."""
        head, comma, last = incomplete.rpartition(",")
        names = [f"{head}{comma}{name}" for name in precision_names() if name.startswith(last)]
        return [CompletionItem(name) for name in names]


DEVICE, PRECISIONS = _Device(), _Precisions()
