"""Measure how long the command line takes to answer, beside Python's own start.

    python benchmarks/startup.py --rounds 20

Each command runs in a process of its own, all in turns, so that what else the machine does falls on
all of them alike. The least of the rounds counts, since other work can only raise it; the ratio is
to `python -c pass`. A round before them warms the caches of files.
"""

__all__ = ["COMMANDS", "main", "measured"]

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median

QUANT = ("-c", "from quant.cli.main import main; main()")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "python -c pass": ("-c", "pass"),
    "quant --help": (*QUANT, "--help"),
    "quant list targets": (*QUANT, "list", "targets"),
    "quant list observers": (*QUANT, "list", "observers"),
    "quant list devices": (*QUANT, "list", "devices"),
    "quant calibrate --help": (*QUANT, "calibrate", "--help"),
    "import quant": ("-c", "import quant"),
}
"""Arguments of Python by what a person types."""


def measured(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round, by command.

    Raises:
        subprocess.CalledProcessError: A command fails.
    """
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for at in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            if at:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/startup.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=20, help="how often each command runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    seconds = measured(options.rounds)
    floor = min(seconds["python -c pass"])
    rows = [
        {
            "command": name,
            "least_ms": 1e3 * min(times),
            "median_ms": 1e3 * median(times),
            "ratio": min(times) / floor,
        }
        for name, times in seconds.items()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| command | ms, least | ms, median | times python -c pass |")
    print("|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['command']} | {row['least_ms']:.0f} | {row['median_ms']:.0f} | "
            f"{row['ratio']:.1f} |"
        )


if __name__ == "__main__":
    main()
