"""What does another busy process cost, and how many threads are best beside it?

    python -m benchmarks.busy_neighbour          # under three minutes; leave the machine alone
    python -m benchmarks.busy_neighbour --model mobilenetv3_large --batch-size 128

First table: samples a second with every number of threads and way of waiting, and with
`hardware.num_threads=auto`, on an idle machine and with one core taken by a process that does
nothing else. All take turns; the ratio is to the best row with a fixed number. `auto` measures
anew in each of its turns, which its time leaves out.

Second table: one run with `hardware.adapt_threads=true`, in which the neighbour arrives and leaves.
Given are the speed in the last ten seconds of each phase, and when the median of five half seconds
had first reached 0.9 of the best fixed row.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.turns import compose, describe_machine, print_head, print_row
from raspitrain.config.profile import with_profile
from raspitrain.hardware.board import available_cores
from raspitrain.hardware.threads import thread_environment

SETTINGS = (
    "dataset.num_cases=1000",
    "dataset.length=224",
    "schedule=constant",
    "optimizer.lr=0.0001",
    "epochs=1000000",
    "eval_every=1000000",
    "hardware.num_threads=1",
)
REPORT_SECONDS = 0.5
NEAR = 0.9
REPORTS_NEAR = 5  # whose median must be near the best, to call it reached
LAST_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mobilenetv3_small")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--waits", nargs="+", default=["null", "short", "passive"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=75.0, help="of all turns, about")
    parser.add_argument("--phases", nargs=3, type=float, default=[12.0, 25.0, 25.0])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    settings = (f"model={args.model}", f"batch_size={args.batch_size}", *SETTINGS)
    if args.worker:
        work(settings)
        return 0

    print(f"{describe_machine()}\n")
    own = with_profile(compose())[0].hardware.wait_policy or "null"
    waits = dict.fromkeys([own, *args.waits])
    workers = {wait: Worker(wait, args.model, args.batch_size) for wait in waits}
    try:
        best = compare(workers, own, args.rounds, args.seconds)
        follow(workers[own], best, args.phases)
    finally:
        for worker in workers.values():
            worker.close()
    return 0


class Worker:
    """A process that trains when it is told to: how threads wait is settled at its start."""

    def __init__(self, wait: str, model: str, batch_size: int) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
        policy = None if wait == "null" else wait
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.busy_neighbour", "--worker"),
                *("--model", model, "--batch-size", str(batch_size)),
            ],
            cwd=Path(__file__).parents[1],
            env=clean | thread_environment(available_cores(), policy, clean),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.listen()  # it is warm

    def tell(self, **order: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def compare(workers: dict[str, Worker], own: str, num_rounds: int, seconds: float) -> list[float]:
    """Print the first table; return the best fixed rates, idle and beside the neighbour."""
    cores = available_cores()
    rows: list[tuple[str, int | str]] = [(own, "auto")]
    rows += [(wait, threads) for wait in workers for threads in range(1, cores + 1)]
    turn = seconds / (2 * num_rounds * len(rows))
    rates: list[dict[Any, float]] = []
    chosen: list[list[int]] = []
    for number in (0, 1):
        taken: dict[Any, list[float]] = {row: [] for row in rows}
        chosen.append([])
        with neighbours(number):
            time.sleep(min(1.0, turn))
            for _ in range(num_rounds):
                for wait, threads in rows:
                    workers[wait].tell(threads=threads, seconds=turn)
                    answer = workers[wait].listen()
                    taken[wait, threads].append(answer["rate"])
                    if threads == "auto":
                        chosen[-1].append(answer["threads"])
        rates.append({row: statistics.median(turns) for row, turns in taken.items()})
    best = [max(rate for (_, t), rate in each.items() if t != "auto") for each in rates]
    print_head("threads", "waiting", "idle, samples/s", "ratio", "beside one", "its ratio")
    for wait, threads in rows:
        cells = []
        for each, fastest in zip(rates, best, strict=True):
            cells += [f"{each[wait, threads]:.0f}", f"{each[wait, threads] / fastest:.2f}"]
        print_row(threads, wait, *cells)
    idle, beside = (", ".join(map(str, choices)) for choices in chosen)
    print(
        f"\nauto chose {idle} on the idle machine and {beside} beside the neighbour\n", flush=True
    )
    return best


def follow(worker: Worker, best: list[float], phases: Sequence[float]) -> None:
    """Print the second table."""
    print_head("adapt_threads", "samples/s", "ratio", "seconds to 0.9")
    worker.tell(threads="adapt", seconds=sum(phases))
    answer: dict[str, Any] = {}
    until = time.monotonic()
    for name, number, seconds in zip(
        ("alone", "neighbour came", "neighbour left"), (0, 1, 0), phases, strict=True
    ):
        until += seconds
        reports: list[tuple[float, float]] = []
        with neighbours(number):
            began = time.monotonic()
            while time.monotonic() < until and "changes" not in answer:
                answer = worker.listen()
                if "rate" in answer:
                    reports.append((time.monotonic() - began, answer["rate"]))
        last = [rate for at, rate in reports if at > seconds - LAST_SECONDS]
        rate = statistics.fmean(last) if last else float("nan")
        reached = seconds_to(NEAR * best[number], reports)
        shown = "never" if reached is None else f"{reached:.0f}"
        print_row(name, f"{rate:.0f}", f"{rate / best[number]:.2f}", shown)
    while "changes" not in answer:
        answer = worker.listen()
    print("\nchanges: " + (", ".join(answer["changes"]) or "none"), flush=True)


def seconds_to(goal: float, reports: list[tuple[float, float]]) -> float | None:
    rates = [rate for _, rate in reports]
    for number in range(len(reports) - REPORTS_NEAR + 1):
        if statistics.median(rates[number : number + REPORTS_NEAR]) >= goal:
            return reports[number + REPORTS_NEAR - 1][0]
    return None


class TimeIsUpError(Exception):
    """Ends a training that would go on for ever."""


def work(settings: Sequence[str]) -> None:
    """Train as each line of standard input says, and answer in lines of JSON."""
    import torch

    from raspitrain.run.prepare import prepare
    from raspitrain.training.training import Step
    from raspitrain.tuning.adapt import AdaptThreads
    from raspitrain.tuning.probe import candidates, try_numbers

    job = prepare(compose(*settings))
    training = replace(job.training, parts={"train": job.training.parts["train"]})
    batch = training.parts["train"].gather(torch.arange(training.batch_size))
    numbers = candidates(available_cores())

    def say(**answer: Any) -> None:
        print(json.dumps(answer), flush=True)

    def train(seconds: float, adapt: AdaptThreads | None = None) -> float:
        start = reported = time.perf_counter()
        num_cases = since_report = 0

        def on_step(step: Step) -> None:
            nonlocal num_cases, since_report, reported
            if adapt is not None:
                adapt.end_step(step.num_cases, step.seconds)
            num_cases += step.num_cases
            since_report += step.num_cases
            now = time.perf_counter()
            if adapt is not None and now - reported >= REPORT_SECONDS:
                say(rate=since_report / (now - reported))
                since_report, reported = 0, now
            if now - start >= seconds:
                raise TimeIsUpError

        with suppress(TimeIsUpError):
            list(training.evaluations(job.epochs, eval_every=job.epochs, on_step=on_step))
        return num_cases / (time.perf_counter() - start)

    train(0.5)
    say(warm=True)
    for line in sys.stdin:
        order = json.loads(line)
        threads, seconds = order["threads"], order["seconds"]
        if isinstance(threads, str):
            threads = try_numbers(
                training.model, training.loss, batch, numbers, time.perf_counter
            ).choice
        torch.set_num_threads(threads)
        if order["threads"] == "adapt":
            adapt = AdaptThreads(numbers, threads, batch_size=training.batch_size)
            train(seconds, adapt)
            say(changes=[f"{c['from']} → {c['to']} at step {c['step']}" for c in adapt.changes])
        else:
            train(0.1)  # the first steps after a change
            say(rate=train(seconds), threads=threads)


if __name__ == "__main__":
    sys.exit(main())
