"""Data sets made from a seed: one that can be learnt and one that cannot."""

from collections.abc import Iterator

import numpy as np

from raspitrain.data.cases import Cases, make_cases
from raspitrain.errors import InputError
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

CASES_A_BLOCK = 256  # part of what a seed means: another number draws other signals


def synthetic(
    *, num_cases: int, num_channels: int, length: int, num_classes: int, noise: float, seed: int
) -> Cases:
    """Return classes of waveforms in noise, equally many cases of each.

    A class is a chord of a few frequencies, with its own loudness and phase in each channel. A
    case plays it at its own time, a little faster or slower, louder or softer, on a slow drift.
    So neither a sample nor an average tells the class: a network has to find the shape.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise; the waveforms have about 1.
    seed : int
        Decides everything.
    """
    sizes = {
        "num_cases": num_cases,
        "num_channels": num_channels,
        "length": length,
        "num_classes": num_classes,
        "seed": seed,
    }
    check_sizes(**sizes)
    _check_fits(num_cases, num_channels, length)
    return _collect(synthetic_blocks(**sizes, noise=noise), "the synthetic data set")


def random(*, num_cases: int, num_channels: int, length: int, num_classes: int, seed: int) -> Cases:
    """Return the blog's data: standard-normal noise, with labels drawn uniformly."""
    sizes = {
        "num_cases": num_cases,
        "num_channels": num_channels,
        "length": length,
        "num_classes": num_classes,
        "seed": seed,
    }
    check_sizes(**sizes)
    _check_fits(num_cases, num_channels, length)
    return _collect(random_blocks(**sizes), "the random data set")


def synthetic_blocks(
    *, num_cases: int, num_channels: int, length: int, num_classes: int, noise: float, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the synthetic data set a block at a time: float32 (B, C, L) and int64 (B,)."""
    if not 0 <= noise < 1e6:
        raise InputError(f"noise is {noise}, but must be 0 or more.")
    rng = np.random.default_rng((seed, 0))
    labels = rng.permutation(np.arange(num_cases) % num_classes)
    # Frequencies in cycles a case. Short signals have room for few.
    highest = max(2.0, min(length / 5, 24.0))
    tones = min(3, max(1, length // 8))
    frequencies = _spread_chords(rng, num_classes, tones, highest)  # (K, T)
    loudness = rng.uniform(0.4, 1.0, (num_classes, num_channels, tones))
    loudness *= np.sqrt(2 / (loudness**2).sum(axis=2, keepdims=True))
    phases = rng.uniform(0, 2 * np.pi, (num_classes, num_channels, tones))

    time = np.arange(length) / length
    for number, start in enumerate(range(0, num_cases, CASES_A_BLOCK)):
        rng = np.random.default_rng((seed, 1 + number))
        block = labels[start : start + CASES_A_BLOCK]
        B = len(block)
        pace = rng.uniform(0.97, 1.03, (B, 1, 1))
        onset = rng.uniform(0, 1, (B, 1, 1))
        angle = 2 * np.pi * frequencies[block][:, :, None] * (time * pace + onset)  # (B, T, L)
        signals = np.zeros((B, num_channels, length))
        for t in range(tones):
            phase = phases[block, :, t][:, :, None]
            signals += loudness[block, :, t][:, :, None] * np.sin(angle[:, None, t] + phase)
        signals *= rng.uniform(0.7, 1.3, (B, num_channels, 1))
        drift = rng.normal(0, 0.5, (B, num_channels, 2, 1))
        signals += drift[:, :, 0] + drift[:, :, 1] * np.linspace(-1, 1, length)
        signals += rng.normal(0, noise, signals.shape)
        yield signals.astype(np.float32), block


def _spread_chords(
    rng: np.random.Generator, num_classes: int, tones: int, highest: float
) -> np.ndarray:
    """Return frequencies (K, T), drawn so that no two classes sound alike."""
    chords: list[np.ndarray] = []
    for _ in range(num_classes):
        draws = np.sort(rng.uniform(1, highest, (32, tones)), axis=1)
        if chords:
            apart = np.abs(draws[:, None] - np.array(chords)).max(axis=2).min(axis=1)
            chords.append(draws[np.argmax(apart)])
        else:
            chords.append(draws[0])
    return np.array(chords)


def random_blocks(
    *, num_cases: int, num_channels: int, length: int, num_classes: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the random data set a block at a time: float32 (B, C, L) and int64 (B,)."""
    for number, start in enumerate(range(0, num_cases, CASES_A_BLOCK)):
        rng = np.random.default_rng((seed, number))
        B = min(CASES_A_BLOCK, num_cases - start)
        signals = rng.standard_normal((B, num_channels, length), dtype=np.float32)
        yield signals, rng.integers(0, num_classes, B)


def _collect(blocks: Iterator[tuple[np.ndarray, np.ndarray]], source: str) -> Cases:
    signals, labels = zip(*blocks, strict=True)
    return make_cases(
        np.concatenate(signals), np.concatenate(labels), source=source, missing="error"
    )


def check_sizes(
    *, num_cases: int, num_channels: int, length: int, num_classes: int, seed: int
) -> None:
    """Refuse sizes that make no data set."""
    for name, value, least in (
        ("num_cases", num_cases, 2),
        ("num_channels", num_channels, 1),
        ("length", length, 2),
        ("num_classes", num_classes, 2),
        ("seed", seed, 0),
    ):
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name} is {value}, but must be a whole number from {least} up.")
    if num_classes > num_cases:
        raise InputError(
            f"num_classes is {num_classes}, but there are only {num_cases} cases; "
            "each class needs some."
        )


def _check_fits(num_cases: int, num_channels: int, length: int) -> None:
    size, free = 8 * num_cases * num_channels * length, available_memory()
    if size > free:
        raise memory_error(
            f"dataset: {num_cases} cases of {num_channels} x {length} samples need "
            f"{size / 1e9:.1f} GB to make but {free / 1e9:.1f} GB are free; ask for fewer, or "
            "write them with python -m raspitrain.data.write and use dataset=npy.",
            size,
        )
