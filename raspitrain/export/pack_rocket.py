"""From a fitted MiniRocket, or MultiRocket with Hydra, to what the engine reads.

Features less their means are what the head's weights meet, as in training; the division by their
deviations goes into the weights, where it costs no digit.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from raspitrain.export.pack import as_described
from raspitrain.model.rocket.classifier import RocketClassifier, Standardise
from raspitrain.model.rocket.minirocket import MiniRocket
from raspitrain.model.rocket.multirocket_hydra import Hydra, MultiRocket
from raspitrain.use.rocket import ALIGNED, COMPETING, pad


def pack_rocket(
    model: RocketClassifier, *, length: int, normalise: str = "channel"
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """As `raspitrain.export.pack.pack`; there is one precision, fp32."""
    parts: list[dict[str, Any]] = []
    arrays: list[np.ndarray] = []
    places: list[Tensor] = []  # of the engine's features among the model's
    begin = num_channels = 0
    for transform in model.transforms:
        assert isinstance(transform, MiniRocket | MultiRocket | Hydra)
        places.append(begin + _order(transform))
        begin += transform.num_features
        for part, chosen, numbers in _parts(transform):
            parts.append(part)
            arrays += [chosen.numpy(), numbers.float().numpy()]
            num_channels = chosen.shape[1] if part["features"] != "hydra" else num_channels
    order = torch.cat(places)
    scalings = [cast(Standardise, scaling) for scaling in model.scalings]
    mean = torch.cat([scaling.mean for scaling in scalings])[order]
    std = torch.cat([scaling.std for scaling in scalings])[order].double()
    weight = (model.head.weight.double()[:, order] / std).float()
    more = pad(len(order), ALIGNED) - len(order)
    arrays += [
        np.pad(mean.numpy(), (0, more)),
        np.pad(weight.detach().numpy(), ((0, 0), (0, more))),
        model.head.bias.detach().numpy(),
    ]
    network = {
        "kind": "minirocket" if len(model.transforms) == 1 else "multirocket_hydra",
        "channels": num_channels,
        "length": length,
        "classes": model.head.out_features,
        "parts": parts,
        "precision": "fp32",
    }
    return as_described(network, arrays, normalise)


def _parts(
    transform: MiniRocket | MultiRocket | Hydra,
) -> list[tuple[dict[str, Any], Tensor, Tensor]]:
    """Description, chosen channels, and biases or weights, of each part of its features."""
    if isinstance(transform, MiniRocket):
        own = _described("minirocket", transform.numbers, difference=False)
        return [(own, transform.channels, transform.biases)]
    if isinstance(transform, MultiRocket):
        sides = (transform.base, transform.difference)
        return [
            (_described("multirocket", x.numbers, difference=bool(x.delay)), x.channels, x.biases)
            for x in sides
        ]
    found = []
    for side in (0, 1):
        chosen = transform.channels[:, side].contiguous()  # (D, groups, channels of a group)
        part = {
            "features": "hydra",
            "difference": side == 1,
            "dilations": transform.numbers,
            "groups": chosen.shape[1],
            "per_group": chosen.shape[2],
        }
        found.append((part, chosen, transform.weights[:, side].contiguous()))
    return found


def _described(
    features: str, numbers: tuple[list[int], list[int]], *, difference: bool
) -> dict[str, Any]:
    dilations, per_dilation = numbers
    return {
        "features": features,
        "difference": difference,
        "dilations": dilations,
        "per_dilation": per_dilation,
    }


def _order(transform: MiniRocket | MultiRocket | Hydra) -> Tensor:
    """Where each of the engine's features, part after part, stands among the transform's."""
    places = torch.arange(transform.num_features)
    if not isinstance(transform, Hydra):
        return places
    width = transform.channels.shape[2] * COMPETING
    by_side = places.view(len(transform.numbers), 2, 2, width)  # (D, side, score, G * 8)
    return by_side.transpose(0, 1).flatten()
