"""What would 8, 32 and 256 boards give, for a sweep and for one model, and where does it end?

    python -m benchmarks.boards            # some seconds, on any machine: it is a simulation

Nothing is trained and no board is asked: events follow each other (a job ends, a board is lost, it
is back) in the order that times and chances give, the same for the same --seed. Which job a free
board takes is asked of raspitrain/sweep/queue.py, as a sweep does, and how boards share one model
of raspitrain/distributed/plan.py, as a run does.

Defaults are figures that commands print, so give your own boards':

    --step-ms, --batch-size    python -m benchmarks.step_time (mobilenetv3_small, 2 threads)
    --megabytes, --mbit        the line "ranks" of a run on two boards; --latency-ms: what its sum
                               takes beyond the wire's own time, here and with four boards
    --start-seconds            python -m benchmarks.start_up (first step of a sweep's job)
    --coordinator-seconds      `time python -c "import raspitrain.sweep.there"`
    --restart-seconds          tests/test_distributed_sshd.py with -s, on a machine of two cores
    --job-minutes              conf/config.yaml (max_minutes)

How often boards are lost, for how long, how unlike jobs are and how uneven steps no command can
tell: those are guesses, to be varied.
"""

import argparse
import heapq
import itertools
import math
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from omegaconf import OmegaConf

from benchmarks.turns import print_head, print_row
from raspitrain.boards import ALIVE_SECONDS as RANK_ALIVE_SECONDS
from raspitrain.distributed.plan import LEAST_CASES, make_plan, shares_of
from raspitrain.errors import InputError
from raspitrain.paths import config_folder
from raspitrain.sweep.queue import SURELY_OVER_SECONDS, in_order, may_run, slots
from raspitrain.sweep.ssh import ALIVE_SECONDS, silent_seconds

# Until ssh gives a silent board up.
NOTICE_SECONDS = float(silent_seconds(ALIVE_SECONDS))
RANK_NOTICE_SECONDS = float(silent_seconds(RANK_ALIVE_SECONDS))
DRAWS = 200  # of the slowest of so many steps
PAYS = 1.5  # times as fast with twice as many boards; with less, doubling has stopped to pay


def main(arguments: Sequence[str] | None = None) -> int:
    given = options(arguments)
    print(" ".join(f"--{k.replace('_', '-')} {_words(v)}" for k, v in vars(given).items()))
    sweeps(given)
    print()
    one_model(given)
    return 0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--boards", type=int, nargs="+", default=[2, 4, 8, 32, 256])
    add("--speeds", type=float, nargs="+", default=[1, 1, 1, 0.42], help="of boards in turn")
    add("--seed", type=int, default=0)
    add("--days-between-losses", type=float, default=30, help="of one board")
    add("--back-after-minutes", type=float, default=10, help="a board that was lost")
    add("--checkpoint-minutes", type=float, default=_configured("checkpoint_minutes"))
    add("--jobs", type=int, nargs="+", default=[24, 100, 1000], help="of a sweep")
    add("--job-minutes", type=float, default=_configured("max_minutes"))
    add("--job-spread", type=float, default=0.3, help="of the logarithm of a job's minutes")
    add("--start-seconds", type=float, default=1.33, help="of a job, before its first step")
    add("--coordinator-seconds", type=float, default=0.12, help="its processor's, for each job")
    add("--coordinator-cores", type=int, default=4)
    add("--data-mb", type=float, default=50, help="that a sweep sends to each board once")
    add("--mbit", type=float, default=940, help="of the network, a second")
    add("--latency-ms", type=float, default=0.5, help="of one message between two boards")
    add("--step-ms", type=float, default=22.9, help="forward and backward on the fastest board")
    add("--batch-size", type=int, default=50)
    add("--step-spread", type=float, default=0.05, help="of a step's time, as a share of it")
    add("--megabytes", type=float, default=5.94, help="that boards sum at a time")
    add("--cases", type=int, default=100_000, help="to train on")
    add("--days", type=float, default=7, help="that the model takes on the fastest board alone")
    add("--restart-seconds", type=float, default=20, help="from a loss that is noticed to a step")
    return parser.parse_args(arguments)


def _configured(key: str) -> float:
    return float(OmegaConf.select(OmegaConf.load(config_folder() / "config.yaml"), key))


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def speeds_of(num_boards: int, given: argparse.Namespace) -> list[float]:
    return list(itertools.islice(itertools.cycle(given.speeds), num_boards))


# --- a sweep ---


@dataclass
class Job:
    number: int
    work: float  # seconds on a board of speed 1, of which `done` are in its checkpoint
    done: float = 0.0
    host: str | None = None


@dataclass
class Board:
    name: str
    speed: float
    state: str = "ready"
    has_data: bool = False
    lost_at: float | None = None


def sweep_seconds(
    jobs: Sequence[Job], speeds: Sequence[float], given: argparse.Namespace, *, losses: bool = True
) -> float:
    """Until the last of the jobs has ended, one at a time on each board."""
    chance = random.Random(given.seed)
    boards = [Board(f"board{k}", speed) for k, speed in enumerate(speeds)]
    waiting = list(jobs)
    running: dict[str, tuple[Job, float, int]] = {}  # by board: from when on, and which start
    held: dict[int, float] = {}
    events: list[tuple[float, int, str, Board, int]] = []
    count = itertools.count()
    coordinator_free = link_free = now = 0.0

    def at(seconds: float, what: str, board: Board, start: int = 0) -> None:
        heapq.heappush(events, (seconds, next(count), what, board, start))

    def next_loss(board: Board, since: float) -> None:
        if losses:
            at(since + chance.expovariate(1 / (86400 * given.days_between_losses)), "lost", board)

    def start_jobs() -> None:
        nonlocal coordinator_free, link_free
        for board, _ in slots(boards, 1):
            if board.name in running:
                continue
            job = next(may_run(waiting, board, boards, held, now), None)
            if job is None:
                continue
            waiting.remove(job)
            job.host = board.name
            busy = given.coordinator_seconds / given.coordinator_cores
            coordinator_free = begin = max(now, coordinator_free) + busy
            if not board.has_data:
                link_free = begin = max(begin, link_free) + 8 * given.data_mb / given.mbit
                board.has_data = True
            begin += given.start_seconds / board.speed
            start = next(count)
            running[board.name] = job, begin, start
            at(begin + (job.work - job.done) / board.speed, "done", board, start)

    for board in boards:
        next_loss(board, 0.0)
    start_jobs()
    while waiting or running:
        now, _, what, board, start = heapq.heappop(events)
        if what == "done":
            # On a board that has gone nothing ends.
            if board.lost_at is None and running.get(board.name, (None, 0, -1))[2] == start:
                del running[board.name]
        elif what == "lost":
            board.lost_at = now
            at(now + NOTICE_SECONDS, "noticed", board)
            at(now + max(60 * given.back_after_minutes, NOTICE_SECONDS), "back", board)
        elif what == "noticed":
            board.state = "away"
            assert board.lost_at is not None
            if board.name in running:
                job, begin, _ = running.pop(board.name)
                every = 60 * given.checkpoint_minutes
                kept = max(0.0, board.lost_at - begin) // every * every
                job.done += kept * board.speed
                held[job.number] = now + SURELY_OVER_SECONDS
                waiting.insert(0, job)
                at(held[job.number], "look", board)
        elif what == "back":
            board.state, board.lost_at = "ready", None
            next_loss(board, now)
        start_jobs()
    return now


def best_packing(jobs: Sequence[Job], speeds: Sequence[float]) -> float:
    """Seconds below which no packing comes: the longest jobs on the fastest boards, and all of them
    on all."""
    work = sorted((job.work for job in jobs), reverse=True)
    fast = sorted(speeds, reverse=True)
    bounds = [sum(work[:k]) / sum(fast[:k]) for k in range(1, min(len(work), len(fast)) + 1)]
    return max([*bounds, sum(work) / sum(fast)])


def make_jobs(number: int, given: argparse.Namespace) -> list[Job]:
    chance = random.Random(given.seed)
    middle = math.log(60 * given.job_minutes) - given.job_spread**2 / 2  # so that the mean fits
    return [Job(k, chance.lognormvariate(middle, given.job_spread)) for k in range(number)]


def sweeps(given: argparse.Namespace) -> None:
    print()
    print_head(
        "jobs of a sweep", "boards", "hours", "times the fastest board", "of the boards' speeds",
        "/ best packing", "longest first",
    )  # fmt: skip
    for number in given.jobs:
        alone = sum(job.work for job in make_jobs(number, given))
        for boards in given.boards:
            speeds = speeds_of(boards, given)
            queue = in_order(make_jobs(number, given), shuffle=True)
            best = best_packing(queue, speeds)
            taken = sweep_seconds(queue, speeds, given)
            # What a sweep that knew all times beforehand would do.
            known = sorted(make_jobs(number, given), key=lambda job: -job.work)
            longest_first = sweep_seconds(known, speeds, given)
            gain = alone / taken
            print_row(
                number, boards, f"{taken / 3600:.2f}", f"{gain:.1f}",
                f"{100 * gain / sum(speeds):.0f} %", f"{taken / best:.2f}",
                f"{longest_first / best:.2f}",
            )  # fmt: skip


# --- one model ---


@dataclass(frozen=True)
class Together:
    """What a run by several boards comes to.

    Attributes
    ----------
    seconds : of the whole run; infinite where it never gets to its end
    sync_every : as Plan's
    num_losses : boards that were lost on the way
    """

    seconds: float
    sync_every: int
    num_losses: int


def sync_seconds(num_boards: int, given: argparse.Namespace) -> float:
    """Of one sum in a ring."""
    steps = 2 * (num_boards - 1)
    wire = steps / num_boards * 8 * given.megabytes / given.mbit
    return wire + 1e-3 * steps * given.latency_ms


def slowest(num_boards: int, steps: int, given: argparse.Namespace) -> float:
    """How many times longer than on average the slowest board takes to `steps` steps."""
    chance = random.Random(f"{given.seed} {num_boards} {steps}")
    spread = given.step_spread / math.sqrt(steps)
    return statistics.fmean(
        max(chance.gauss(1, spread) for _ in range(num_boards)) for _ in range(DRAWS)
    )


def train_together(
    num_boards: int, sync: str | int, given: argparse.Namespace, *, losses: bool = True
) -> Together:
    """One model by so many boards, the batch as large as all of them take together.

    Raises
    ------
    InputError
        A run would refuse this, and says why.
    """
    if num_boards == 1:
        return Together(86400 * given.days, 1, 0)
    speeds = speeds_of(num_boards, given)
    cases_a_second = [speed * given.batch_size / (1e-3 * given.step_ms) for speed in speeds]
    to_do = 86400 * given.days * max(cases_a_second)
    batch = min(given.cases, num_boards * given.batch_size)
    steps_per_epoch = math.ceil(given.cases / batch)
    plan, _ = make_plan(
        sync,
        shares=shares_of(cases_a_second, given.cases // steps_per_epoch, LEAST_CASES),
        speeds=cases_a_second,
        batch=batch,
        sync_seconds=sync_seconds(num_boards, given),
        num_bytes=round(1e6 * given.megabytes),
        num_steps=round(to_do / batch),
        steps_per_epoch=steps_per_epoch,
    )
    every = plan.sync_every
    rates: dict[tuple[int, ...], float] = {}

    def rate(alive: Sequence[int]) -> float:
        """Cases a second: the batch stays, and is shared by those that are there."""
        key = tuple(alive)
        if key not in rates:
            own = [cases_a_second[k] for k in alive]
            shares = shares_of(own, batch, LEAST_CASES)
            step = max(batch * share / speed for share, speed in zip(shares, own, strict=True))
            step *= slowest(len(own), every, given)
            rates[key] = batch / (step + (sync_seconds(len(own), given) / every))
        return rates[key]

    chance = random.Random(given.seed)
    per_second = 1 / (86400 * given.days_between_losses)
    alive = list(range(num_boards))
    away: list[tuple[float, int]] = []  # when it is back, and which
    now = done = 0.0
    num_losses = 0
    most = 100 * to_do / max(cases_a_second)
    while done < to_do:
        if now > most:
            return Together(math.inf, every, num_losses)
        loss = now + chance.expovariate(len(alive) * per_second) if losses else math.inf
        back, board = min(away, default=(math.inf, -1))
        end = now + (to_do - done) / rate(alive)
        if end <= min(loss, back):
            return Together(end, every, num_losses)
        if back <= loss:
            # All stop with a checkpoint, and start again with it.
            done += max(0.0, back - now) * rate(alive)
            now = max(now, back) + given.restart_seconds
            away.remove((back, board))
            alive.append(board)
            continue
        kept = (loss - now) // (60 * given.checkpoint_minutes) * 60 * given.checkpoint_minutes
        done += kept * rate(alive)
        lost = alive.pop(chance.randrange(len(alive)))
        num_losses += 1
        back = loss + 60 * given.back_after_minutes
        now = loss + RANK_NOTICE_SECONDS + given.restart_seconds
        if not alive:
            alive, now = [lost], max(now, back + given.restart_seconds)
        else:
            heapq.heappush(away, (back, lost))
    return Together(now, every, num_losses)


def one_model(given: argparse.Namespace) -> None:
    print_head(
        "one model, boards", "a sum, ms", "gradients at each step", "every 8 steps", "auto",
        "auto, no losses", "boards lost", "steps",
    )  # fmt: skip
    alone = 86400 * given.days
    for boards in given.boards:
        cells = []
        lost = steps = 0
        for sync, losses in (("every_step", True), (8, True), ("auto", True), ("auto", False)):
            try:
                found = train_together(boards, sync, given, losses=losses)
            except InputError as error:
                cells.append("refused" if "alone" in str(error) else "batch too small")
                continue
            how = f" (every {found.sync_every})" if sync == "auto" else ""
            cells.append(f"{alone / found.seconds:.1f}{how}")
            lost = max(lost, found.num_losses)
        steps = round(alone / (1e-3 * given.step_ms) / boards)
        print_row(boards, f"{1e3 * sync_seconds(boards, given):.0f}", *cells, lost, steps)
    print(f"\n{_where_it_ends(given)}")


def _where_it_ends(given: argparse.Namespace) -> str:
    """The last number of boards that is worth doubling to, for each kind of work."""

    def of_sweep(number: int, boards: int) -> float:
        queue = in_order(make_jobs(number, given), shuffle=True)
        return sweep_seconds(queue, speeds_of(boards, given), given)

    def of_model(sync: str, boards: int) -> float:
        try:
            return train_together(boards, sync, given).seconds
        except InputError:
            return math.inf

    kinds = {f"a sweep of {number} jobs": partial(of_sweep, number) for number in given.jobs}
    kinds |= {f"one model, {sync}": partial(of_model, sync) for sync in ("every_step", "auto")}
    words = [f"{kind}: {_last_that_pays(seconds)}" for kind, seconds in kinds.items()]
    return (
        f"The most boards at which the last doubling has made it {PAYS:g} times as fast (1: two "
        f"do not): {'; '.join(words)}."
    )


def _last_that_pays(seconds: Callable[[int], float]) -> int:
    boards, before = 1, seconds(1)
    while boards < 1024:
        after = seconds(2 * boards)
        if before < PAYS * after:
            break
        boards, before = 2 * boards, after
    return boards


if __name__ == "__main__":
    sys.exit(main())
