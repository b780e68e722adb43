"""From a trained network to what the engine reads: BatchNorm folded, weights in packed order.

Shapes: a linear layer's weight is (out, in), a depthwise convolution's (channels, kernel).
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from raspitrain.model.mobilenetv3 import Block as TorchBlock
from raspitrain.model.mobilenetv3 import MobileNetV3
from raspitrain.model.tables import Variant
from raspitrain.use.kinds import ENSEMBLE, tensors
from raspitrain.use.network import KIND, PACK, pad, strided

LARGEST_INT8 = 127


def pack(
    model: MobileNetV3, *, length: int, precision: str, normalise: str = "channel"
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Fold and pack a network for windows of `length` positions.

    Parameters
    ----------
    precision : {"fp32", "int8"}
        int8: weights of 1x1 convolutions and linear layers as int8, with a scale an output.
    normalise : {"channel", "case", "both"}
        What the engine does to a window first.

    Returns
    -------
    network : dict
        As `raspitrain.use.network` describes it.
    arrays : list of np.ndarray
        float32 or int8, in the order and shapes of `raspitrain.use.network.tensors`.
    """
    int8 = precision == "int8"
    arrays: list[np.ndarray] = []
    variant = model.variant
    stem_width, channels, _ = model.conv_stem.weight.shape
    stem_stride = model.conv_stem.stride[0]
    at = strided(length, stem_stride)
    weight, bias = _fold(model.conv_stem, model.bn_stem, variant, at)
    # Three neighbouring rows of (position, channel) are what the engine multiplies.
    weight = weight.reshape(stem_width, channels, 3).transpose(0, 2, 1).reshape(stem_width, -1)
    arrays += pack_linear(weight, bias, int8=False, multiple=4)
    blocks = []
    for block in cast(Iterable[TorchBlock], model.blocks):
        before, at = at, strided(at, block.conv_dw.stride[0])
        blocks.append(_describe(block))
        if block.conv_pw is not None and block.bn_pw is not None:
            folded = _fold(block.conv_pw, block.bn_pw, variant, before)
            arrays += pack_linear(*folded, int8=int8)
        taps, bias = _fold(block.conv_dw, block.bn_dw, variant, at)
        arrays += [padded(taps.T, 1, PACK), padded(bias, 0, PACK)]
        if block.se is not None:
            arrays += pack_linear(*_plain(block.se.reduce), int8=int8)
            arrays += pack_linear(*_plain(block.se.expand), int8=int8)
        arrays += pack_linear(*_fold(block.conv_pwl, block.bn_pwl, variant, at), int8=int8)
    arrays += pack_linear(*_fold(model.conv_head, model.bn_head, variant, at), int8=int8)
    arrays += pack_linear(*_plain(model.hidden), int8=int8)
    arrays += pack_linear(*_plain(model.classifier), int8=int8)
    network = {
        "kind": KIND,
        "channels": channels,
        "length": length,
        "classes": model.num_classes,
        "stem": {"width": pad(stem_width), "stride": stem_stride},
        "blocks": blocks,
        "last": pad(model.conv_head.out_channels),
        "hidden": pad(model.hidden.weight.shape[0]),
        "logits_activation": "hardswish" if variant.logits_activation else "identity",
        "precision": precision,
    }
    return as_described(network, arrays, normalise)


def as_described(
    network: dict[str, Any], arrays: list[np.ndarray], normalise: str
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Both, where the arrays are what the engine expects of such a network."""
    if normalise != "channel":
        network["normalise"] = normalise
    for array, tensor in zip(arrays, tensors(network), strict=True):
        assert (array.shape, str(array.dtype)) == (tensor.shape, tensor.dtype), tensor.name
    return network, arrays


def pack_ensemble(
    members: Sequence[tuple[dict[str, Any], list[np.ndarray]]],
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Networks that answer by the mean of their probabilities, from each as it is packed."""
    first, _ = members[0]
    shared = {key: first[key] for key in ("channels", "length", "classes", "precision")}
    if "normalise" in first:
        shared["normalise"] = first["normalise"]
    network = {"kind": ENSEMBLE, **shared, "members": [own for own, _ in members]}
    return network, [array for _, arrays in members for array in arrays]


def _describe(block: TorchBlock) -> dict[str, Any]:
    return {
        "expanded": pad(block.conv_dw.out_channels),
        "out": pad(block.conv_pwl.out_channels),
        "kernel": block.conv_dw.kernel_size[0],
        "stride": block.conv_dw.stride[0],
        "activation": block.activation,
        "project_activation": block.project_activation,
        "squeezed": 0 if block.se is None else pad(block.se.reduce.out_features),
        "expand": block.conv_pw is not None,
        "residual": block.residual,
    }


def float64(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _plain(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Weight (out, in) and bias (out,) of a layer that no BatchNorm follows."""
    weight = float64(cast(Tensor, layer.weight))
    weight = weight.reshape(len(weight), -1)
    bias = cast(Tensor | None, layer.bias)
    return weight, np.zeros(len(weight)) if bias is None else float64(bias)


def _fold(
    conv: nn.Conv1d, bn: nn.BatchNorm1d, variant: Variant, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution and the BatchNorm after it, at `length` positions."""
    weight, bias = _plain(conv)
    if variant.norm_unless_length_1 and length == 1:
        return weight, bias
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = float64(bn.weight) / np.sqrt(float64(bn.running_var) + bn.eps)
    return weight * scale[:, None], (bias - float64(bn.running_mean)) * scale + float64(bn.bias)


def padded(array: np.ndarray, axis: int, multiple: int) -> np.ndarray:
    shape = list(array.shape)
    shape[axis] = pad(shape[axis], multiple)
    made = np.zeros(shape, np.float32)
    made[tuple(map(slice, array.shape))] = array
    return made


def pack_linear(
    weight: np.ndarray, bias: np.ndarray, *, int8: bool, multiple: int = PACK
) -> list[np.ndarray]:
    weight = padded(padded(weight, 0, PACK), 1, multiple)
    bias = padded(bias, 0, PACK)
    num_out, num_in = weight.shape
    if not int8:
        panels = weight.reshape(num_out // PACK, PACK, num_in)
        return [np.ascontiguousarray(panels.transpose(0, 2, 1)), bias]
    quantised, scale = quantise(weight)
    fours = quantised.reshape(num_out // PACK, PACK, num_in // 4, 4)
    return [np.ascontiguousarray(fours.transpose(0, 2, 1, 3)), scale, bias]


def quantise(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 weights (out, in) and what one of them counts, float32 (out,)."""
    scale = (np.abs(weight).max(axis=1) / LARGEST_INT8).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1).astype(np.float64)[:, None]
    quantised = np.clip(np.rint(weight / divisor), -LARGEST_INT8, LARGEST_INT8)
    return quantised.astype(np.int8), scale
