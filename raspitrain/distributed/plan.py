"""How several boards share one training: what each takes of a batch, and how often they agree.

Decided by arithmetic from two measured times, that of a step and that of summing the weights.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raspitrain.errors import InputError

AS_FAST = 0.1  # boards whose speeds differ by less take the same share
LEAST_SPEED = 0.25  # of the fastest board's; a slower one would only be waited for
LEAST_CASES = 8  # of a batch on one board, from which BatchNorm takes its statistics
# Of the boards' speeds, all added up. Boards make some 2 % less of them than this arithmetic says.
ENOUGH = 0.92
APART = (2, 4, 8, 16, 32)  # steps between two averages that are tried
# With fewer averages in a run its accuracy suffers: 18 lost 5 to 20 points, 72 at most 2.
LEAST_SYNCS = 70
LEAST_GAIN = 1.05


@dataclass(frozen=True)
class Plan:
    """How the ranks train together.

    Attributes
    ----------
    shares : of a batch that each rank takes; their sum is 1
    sync_every : steps between two averages of the weights; 1 for gradients summed at each step
    step_ms : of the slowest rank with its share, without what they send each other
    sync_ms : of summing everything once
    megabytes : that one such sum is about
    gain : times the fastest board alone, as expected
    """

    shares: tuple[float, ...]
    sync_every: int
    step_ms: float
    sync_ms: float
    megabytes: float
    gain: float

    def state(self) -> dict[str, Any]:
        return asdict(self) | {"shares": list(self.shares)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Plan":
        return cls(**state | {"shares": tuple(float(share) for share in state["shares"])})

    def own(self, num_cases: int, rank: int) -> slice:
        """Where a rank's cases lie among so many."""
        ends = [0, *(round(num_cases * sum(self.shares[: k + 1])) for k in range(len(self.shares)))]
        return slice(ends[rank], ends[rank + 1])

    @property
    def megabits(self) -> float:
        """A second, that a board sends while it sums in a ring."""
        ranks = len(self.shares)
        return 8 * self.megabytes * 2 * (ranks - 1) / ranks / (1e-3 * self.sync_ms)

    def words(self) -> str:
        if len(self.shares) == 1:
            return f"1 rank, which takes the whole batch; a step takes {self.step_ms:.1f} ms"
        how = (
            "gradients are summed at each step"
            if self.sync_every == 1
            else f"weights are averaged every {self.sync_every} steps"
        )
        shares = " : ".join(f"{share:.2f}" for share in self.shares)
        return (
            f"{len(self.shares)} ranks, shares {shares}; a step takes {self.step_ms:.1f} ms, "
            f"summing {self.megabytes:.1f} MB {self.sync_ms:.1f} ms ({self.megabits:.0f} Mbit/s); "
            f"{how}: {self.gain:.2f} times the fastest board alone is expected"
        )


def too_slow(speeds: Sequence[float], names: Sequence[str]) -> str:
    """A sentence about a board that the others would only wait for; empty where none is so slow.

    Parameters
    ----------
    speeds : cases a second of each rank
    names : of the ranks
    """
    for name, speed in zip(names, speeds, strict=True):
        if speed < LEAST_SPEED * max(speeds):
            return (
                f"{name} trains {speed:.0f} cases a second and the fastest {max(speeds):.0f}: the "
                "others would only wait for it; leave it out, or give it jobs of a sweep"
            )
    return ""


def shares_of(speeds: Sequence[float], smallest_batch: int, least_cases: int) -> tuple[float, ...]:
    """What each rank takes of a batch, by its speed.

    Parameters
    ----------
    speeds : cases a second of each rank
    smallest_batch : cases of the epoch's smallest batch, on all ranks together
    least_cases : that a rank must have of each batch

    Raises
    ------
    InputError
        A batch is too small to be shared.
    """
    if smallest_batch < least_cases * len(speeds):
        raise InputError(
            f"a batch of {smallest_batch} cases leaves fewer than {least_cases} for each of "
            f"{len(speeds)} boards, of which BatchNorm takes its statistics: raise batch_size, use "
            "fewer boards, or train on one."
        )
    if min(speeds) > (1 - AS_FAST) * max(speeds):
        return (1 / len(speeds),) * len(speeds)
    shares = [speed / sum(speeds) for speed in speeds]
    # A case more, as cutting rounds.
    least = min(1 / len(speeds), (least_cases + 1) / smallest_batch)
    short = [share < least for share in shares]
    rest = sum(share for share, is_short in zip(shares, short, strict=True) if not is_short)
    free = 1 - least * sum(short)
    return tuple(
        least if is_short else share * free / rest
        for share, is_short in zip(shares, short, strict=True)
    )


def make_plan(
    sync: str | int,
    *,
    shares: Sequence[float],
    speeds: Sequence[float],
    batch: int,
    sync_seconds: float,
    num_bytes: int,
    num_steps: int,
    steps_per_epoch: int,
) -> tuple[Plan, str]:
    """The plan that `distributed.sync` asks for, or the best where it says auto; and a warning,
    empty where there is nothing to warn of.

    Parameters
    ----------
    shares, speeds : of each rank; speeds in cases a second
    batch : cases of a step, on all ranks together
    sync_seconds : of summing `num_bytes` once
    num_steps : of the whole run, as far as it is known

    Raises
    ------
    InputError
        With auto, where several boards would be no faster than the fastest alone.
    """
    step_seconds = max(batch * s / v for s, v in zip(shares, speeds, strict=True))

    def plan(every: int) -> Plan:
        syncs = num_syncs(steps_per_epoch, every) / steps_per_epoch
        speed = batch / (step_seconds + sync_seconds * syncs)
        return Plan(
            tuple(shares), every, 1e3 * step_seconds, 1e3 * sync_seconds, 1e-6 * num_bytes,
            speed / max(speeds),
        )  # fmt: skip

    def averages(every: int) -> int:
        epochs = math.ceil(num_steps / steps_per_epoch)
        return epochs * num_syncs(steps_per_epoch, every)

    most = sum(speeds) / max(speeds)
    if sync != "auto":
        chosen = plan(1 if sync == "every_step" else int(sync))
        warning = ""
        if len(shares) == 1:
            return chosen, warning
        if chosen.gain < LEAST_GAIN:
            warning = (
                f"training together will not be faster than the fastest board ({_why(chosen)})"
            )
        elif chosen.sync_every > 1 and averages(chosen.sync_every) < LEAST_SYNCS:
            warning = (
                f"distributed.sync={sync} averages the weights {averages(chosen.sync_every)} times "
                f"in {num_steps} steps: below {LEAST_SYNCS} the accuracy suffers"
            )
        return chosen, warning
    chosen = plan(1)
    for every in APART:
        if chosen.gain >= ENOUGH * most or averages(every) < LEAST_SYNCS:
            break
        if plan(every).gain > chosen.gain:
            chosen = plan(every)
    if chosen.gain < LEAST_GAIN:
        few = ""
        if averages(2) < LEAST_SYNCS:
            few = f", and {num_steps} steps are too few to average weights less often"
        raise InputError(
            f"{len(shares)} boards would train this {chosen.gain:.2f} times as fast as the fastest "
            f"alone ({_why(chosen)}{few}): train on one board, give each board another seed or "
            "setting, or take larger batches; distributed.sync=every_step does it all the same."
        )
    return chosen, ""


def num_syncs(num_steps: int, every: int) -> int:
    """In so many steps of an epoch, whose last is always one."""
    return max(1, round(num_steps / every))


def _why(plan: Plan) -> str:
    return (
        f"a step takes {plan.step_ms:.1f} ms, and summing {plan.megabytes:.1f} MB between the "
        f"boards {plan.sync_ms:.1f} ms, {plan.megabits:.0f} Mbit/s"
    )
