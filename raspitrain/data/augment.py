"""Augmentation: a batch of signals made a little different each time it is seen."""

import torch

from raspitrain.errors import InputError


def none(signals: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Leave the signals as they are."""
    return signals


def standard(
    signals: torch.Tensor,
    generator: torch.Generator,
    *,
    strength: float,
    scale: float,
    jitter: float,
    shift: float,
) -> torch.Tensor:
    """Shift each case, scale each of its channels and add noise.

    Parameters
    ----------
    signals : torch.Tensor
        float (N, C, L), normalised; not changed.
    generator : torch.Generator
        The only source of chance here.
    strength : float
        Multiplies the three that follow; at 0 the signals stay as they are.
    scale : float
        Each channel of each case is multiplied by a draw from N(1, scale).
    jitter : float
        Standard deviation of the noise added to each sample.
    shift : float
        Each case moves by up to this share of its length, to either side; the edge value fills
        what comes free.

    Returns
    -------
    torch.Tensor
        A new tensor (N, C, L), or at strength 0 `signals`.
    """
    if min(strength, scale, jitter, shift) < 0 or not strength * shift < 1:
        raise InputError(
            f"augment: strength={strength}, scale={scale}, jitter={jitter} and shift={shift} must "
            "not be negative, and shift times strength must be below 1."
        )
    if strength == 0:
        return signals
    scale, jitter, shift = strength * scale, strength * jitter, strength * shift
    num_cases, num_channels, length = signals.shape
    max_shift = round(shift * length)

    def draw_normal(*shape: int) -> torch.Tensor:
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return noise.to(signals.device, signals.dtype)

    factors = draw_normal(num_cases, num_channels, 1).mul_(scale).add_(1)
    if max_shift:
        steps = torch.randint(
            -max_shift,
            max_shift + 1,
            (num_cases, 1, 1),
            generator=generator,
            device=generator.device,
        ).to(signals.device)
        where = (torch.arange(length, device=signals.device) + steps).clamp_(0, length - 1)
        moved = signals.gather(2, where.expand(-1, num_channels, -1)).mul_(factors)
    else:
        moved = signals * factors
    if jitter:
        moved.add_(draw_normal(num_cases, num_channels, length), alpha=jitter)
    return moved
