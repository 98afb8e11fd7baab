"""Measure what profiling costs: its time against plain float inference, and its peak memory.

Plain inference and profiling run over the same samples, which were decoded before the clock starts,
in rounds that take turns; the medians are printed. Plain inference runs at the batch size that
profiling uses and at batch 1, and the ratio is against the faster of the two. Memory is the peak
resident size of a fresh process that profiles N samples streamed from disk, and of one that
profiles the same N samples four times over, so that the largest picture is in both.
"""

__all__ = ["main"]

import sys

# Last instead of first: this file would hide the standard library's `profile` from its importers.
sys.path.append(sys.path.pop(0))

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import onnxruntime
from subject import FLAGS, Subject, add_flags, open_subject

from quant.calibration import Batch
from quant.calibration.profiling.run_profile import profile
from quant.common.errors import QuantError
from quant.graph.session import open_session

AIM, LEAST = 1.5, 2.5
"""Profiling over plain inference: what is aimed at, and what is the least to land."""
GROWTH = 0.05
"""Share by which the peak memory may grow from N to 4N samples."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """One round: seconds over all samples."""

    run: float
    with_session: float


@dataclass(slots=True)
class Times:
    """What all rounds took, in seconds a sample."""

    run: list[float] = field(default_factory=list)
    with_session: list[float] = field(default_factory=list)

    def take(self, one: Seconds, samples: int) -> None:
        """Add a round."""
        self.run.append(one.run / samples)
        self.with_session.append(one.with_session / samples)


def plain(subject: Subject, samples: Sequence[Batch], threads: int) -> Seconds:
    """Time float inference."""
    begin = time.perf_counter()
    session = open_session(subject.graph.model, threads=threads, alone=True)
    first = time.perf_counter()
    for batch in samples:
        session.run(None, dict(batch.feeds))
    end = time.perf_counter()
    return Seconds(run=end - first, with_session=end - begin)


def profiled(subject: Subject, samples: Sequence[Batch], threads: int) -> Seconds:
    """Time profiling; the clock without the session starts when the first samples are asked for."""
    first = 0.0

    def handed() -> Iterator[Batch]:
        nonlocal first
        first = time.perf_counter()
        yield from samples

    begin = time.perf_counter()
    profile(subject.graph, handed(), threads=threads)
    end = time.perf_counter()
    return Seconds(run=end - first, with_session=end - begin)


def singles(samples: Iterable[Batch]) -> Iterator[Batch]:
    """Yield each sample as a batch of its own."""
    for batch in samples:
        for row, key in enumerate(batch.keys):
            yield Batch(
                keys=(key,),
                feeds={name: array[row : row + 1] for name, array in batch.feeds.items()},
                labels=batch.labels[row : row + 1],
                digests=batch.digests[row : row + 1],
                count=1,
            )


def chosen(subject: Subject, samples: int) -> list[int]:
    """Return N indices; the data begins again where it has fewer samples."""
    return [i % len(subject.data) for i in range(samples)]


def measured_times(subject: Subject, given: argparse.Namespace) -> dict[str, Times]:
    """Return the times by name, "profile" last."""
    samples = list(subject.stream(chosen(subject, given.samples), subject.batch))
    count = sum(batch.count for batch in samples)
    threads: int = given.threads
    tasks: dict[str, Callable[[], Seconds]] = {
        f"plain, batch {subject.batch}": lambda: plain(subject, samples, threads)
    }
    if subject.batch > 1 and not subject.fixed:
        alone = list(singles(samples))
        tasks["plain, batch 1"] = lambda: plain(subject, alone, threads)
    tasks["profile"] = lambda: profiled(subject, samples, threads)
    times = {name: Times() for name in tasks}
    for number in range(-1, given.rounds):
        order = list(tasks)
        if number % 2:
            order.reverse()  # who comes first finds other caches than who comes last
        for name in order:
            one = tasks[name]()
            if number >= 0:  # the first round only warms up
                times[name].take(one, count)
    return times


def peak() -> int:
    """Return the peak resident size of this process in bytes."""
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if platform.system() == "Darwin" else size * 1024


def peak_of(given: argparse.Namespace, times: int) -> int:
    """Return the peak memory of a fresh process that profiles N samples so many times over."""
    command = [sys.executable, __file__, given.model, "--data", given.data, "--json"]
    command += ["--samples", str(given.samples), "--threads", str(given.threads)]
    for name in FLAGS:
        value = getattr(given, name)
        command += [f"--{name.replace('_', '-')}={value}"] if value is not None else []
    command += ["--only-memory", str(times)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise QuantError(run.stderr.strip().removeprefix("error: "))
    return int(json.loads(run.stdout)["peak_bytes"])


def only_memory(subject: Subject, given: argparse.Namespace) -> None:
    """Profile streamed samples and print the peak."""
    indices = chosen(subject, given.samples) * given.only_memory
    profile(subject.graph, subject.stream(indices, subject.batch), threads=given.threads)
    print(json.dumps({"peak_bytes": peak()}))


def result(subject: Subject, given: argparse.Namespace, memory: list[int]) -> dict[str, Any]:
    """Return everything that was measured."""
    times = measured_times(subject, given)
    *plains, own = times
    faster = min(plains, key=lambda name: median(times[name].run))
    quick = min(plains, key=lambda name: median(times[name].with_session))

    def over(what: str, floor: str) -> float:
        mine: list[float] = getattr(times[own], what)
        its: list[float] = getattr(times[floor], what)
        return median(a / b for a, b in zip(mine, its, strict=True))

    return {
        "model": given.model,
        "samples": given.samples,
        "threads": given.threads,
        "rounds": given.rounds,
        "batch": subject.batch,
        "onnxruntime": onnxruntime.__version__,
        "seconds_per_sample": {name: asdict(t) for name, t in times.items()},
        "faster": faster,
        "ratio": over("run", faster),
        "faster_with_session": quick,
        "ratio_with_session": over("with_session", quick),
        "peak_bytes": memory,
        "growth": memory[1] / memory[0] - 1 if memory else None,
    }


def report(found: dict[str, Any]) -> str:
    """Return the text for people."""
    ratio, growth = found["ratio"], found["growth"]
    session = found["ratio_with_session"]
    lines = [
        f"{found['model']}: {found['samples']} samples, {found['threads']} threads",
        f"medians of {found['rounds']} rounds, ONNX Runtime {found['onnxruntime']}",
        "",
        f"{'ms a sample':<22}{'running':>10}{'with the session':>20}",
    ]
    for name, one in found["seconds_per_sample"].items():
        run, whole = (1e3 * median(one[what]) for what in ("run", "with_session"))
        lines.append(f"{name:<22}{run:>10.3f}{whole:>20.3f}")
    lines += [
        "",
        f"profile / {found['faster']}: {ratio:.2f}   {_judged(ratio)}",
        f"profile / {found['faster_with_session']}: {session:.2f}   with session creation",
    ]
    if growth is not None:
        first, second = (f"{size / 2**20:.0f} MiB" for size in found["peak_bytes"])
        verdict = "PASS" if growth <= GROWTH else "over"
        lines.append(
            f"peak memory: {first} at N, {second} at 4N, {100 * growth:+.1f} %   "
            f"{verdict} (limit {100 * GROWTH:+.0f} %)"
        )
    return "\n".join(lines)


def _judged(ratio: float) -> str:
    if ratio <= AIM:
        return f"PASS (aim {AIM})"
    return f"over {AIM}, " + (f"PASS (least {LEAST})" if ratio <= LEAST else f"over {LEAST}")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/profile.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="ONNX file, or module:factory")
    parser.add_argument("--data", required=True, help="folder, list, .npy, .npz, module:function")
    parser.add_argument("--samples", type=_count, default=64, metavar="N", help="default 64")
    parser.add_argument("--threads", type=_count, default=2, help="inside an operator; default 2")
    parser.add_argument("--rounds", type=_count, default=5, help="behind a warm-up; default 5")
    parser.add_argument("--no-memory", action="store_true", help="measure times only")
    parser.add_argument("--json", action="store_true", help="one object for machines, all rounds")
    parser.add_argument("--only-memory", type=_count, metavar="TIMES", help=argparse.SUPPRESS)
    add_flags(parser)
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, saw '{text}'")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 whatever was measured, 2 where the user can mend it."""
    given = parsed(arguments)
    try:
        # before anything is loaded here: on Linux a child inherits its parent's peak
        children = () if given.no_memory or given.only_memory else (1, 4)
        memory = [peak_of(given, times) for times in children]
        subject = open_subject(given.model, given.data, {n: getattr(given, n) for n in FLAGS})
        if given.only_memory:
            only_memory(subject, given)
            return 0
        found = result(subject, given, memory)
    except QuantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2) if given.json else report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
