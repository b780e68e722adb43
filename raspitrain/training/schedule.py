"""Learning rate over the steps of a run. Each returns a scheduler stepped once a step."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def constant(optimizer: Optimizer, *, total_steps: int) -> LambdaLR:
    """The optimizer's own rate throughout."""
    return LambdaLR(optimizer, lambda step: 1.0)


def onecycle(
    optimizer: Optimizer, *, total_steps: int, warmup: float, start: float, end: float
) -> LambdaLR:
    """Up to the optimizer's rate, then down, both along half a cosine (Smith, arXiv:1708.07120).

    `warmup` is a fraction of the steps; `start` and `end` are fractions of the optimizer's rate.
    """
    return LambdaLR(optimizer, _rise_and_fall(total_steps, warmup, start, end))


def cosine(optimizer: Optimizer, *, total_steps: int, warmup: float, end: float) -> LambdaLR:
    """Down along half a cosine (Loshchilov & Hutter, arXiv:1608.03983), after a short climb from 0.

    `warmup` is a fraction of the steps; `end` is a fraction of the optimizer's rate.
    """
    return LambdaLR(optimizer, _rise_and_fall(total_steps, warmup, 0.0, end))


def _rise_and_fall(
    total_steps: int, warmup: float, start: float, end: float
) -> Callable[[int], float]:
    top = round(warmup * (total_steps - 1))
    # A first step at rate 0 would be lost.
    first = start if start > 0 or top == 0 else 1 / (top + 1)

    def factor(step: int) -> float:
        if step < top:
            return _half_cosine(first, 1.0, step / top)
        # The scheduler asks once more after the last step.
        return _half_cosine(1.0, end, min(1.0, (step - top) / max(1, total_steps - 1 - top)))

    return factor


def _half_cosine(begin: float, finish: float, share: float) -> float:
    return finish + (begin - finish) * (1 + math.cos(math.pi * share)) / 2
