"""What a count can show, exactly: bounds that hold whatever the true rate is, by bisection.

Clopper and Pearson 1934 for shares; Garwood 1936 for counts: half of the chi-square quantile of
2 (count + 1) degrees of freedom. Where nothing was seen that is, at 95 %, -ln(0.05) = 2.996 in the
time that was watched.
"""

from collections.abc import Callable
from math import exp, lgamma, log, log1p


def most_expected(count: int, confidence: float) -> float:
    """The largest mean of a Poisson count of which so few are not yet improbable: the upper bound
    of the mean where `count` was seen."""

    last = lgamma(count + 1)

    def too_few(mean: float) -> float:
        term = total = exp(count * log(mean) - mean - last)
        for k in range(count, 0, -1):
            term *= k / mean
            total += term
            if k < mean and term < 1e-18 * total:
                break
        return total

    high = count + 1.0  # the bound lies above the count
    while too_few(high) > 1 - confidence:
        high *= 2
    return _crossing(too_few, 1 - confidence, max(count, 1e-12), high)


def largest_share(count: int, total: int, confidence: float) -> float:
    """The upper bound of a share where `count` of `total` were seen."""
    if count == total:
        return 1.0

    def too_few(share: float) -> float:
        return sum(
            exp(
                lgamma(total + 1) - lgamma(k + 1) - lgamma(total - k + 1)
                + k * log(share) + (total - k) * log1p(-share)
            )
            for k in range(count + 1)
        )  # fmt: skip

    return _crossing(too_few, 1 - confidence, 1e-12, 1 - 1e-12)


def _crossing(falling: Callable[[float], float], level: float, low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return high
