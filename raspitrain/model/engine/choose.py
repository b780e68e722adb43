"""Which engine does a model's arithmetic: the same numbers to rounding, at different speeds.

native: compiled kernels (kernels.c). torch: ordinary operations on (N, L, C). plain: the modules
as they are written, on (N, C, L), which is what an export traces and what any device runs.

auto takes native or torch, whichever measured faster on this machine; measured once, kept in the
cache.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from raspitrain.cache import recall, remember
from raspitrain.model.engine import channels_last, native
from raspitrain.model.engine.kernels import kernels_name, load_kernels

if TYPE_CHECKING:
    from raspitrain.model.mobilenetv3 import MobileNetV3

log = logging.getLogger(__name__)

ENGINES = ("auto", "native", "torch", "plain")
Run = Callable[["MobileNetV3", Tensor], Tensor]


def choose_engine(model: "MobileNetV3", x: Tensor) -> Run | None:
    """What computes the hidden layer's activations from signals; None: the modules themselves."""
    if model.engine == "plain" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return None
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return None
    engine = faster_engine() if model.engine == "auto" else model.engine
    if engine == "native" and load_kernels(x.dtype) is not None:
        return native.features if native.covers(model, x) else None
    # The modules' own operations are the faster ones without gradients.
    return channels_last.features if torch.is_grad_enabled() else None


def engine_in_use(model: nn.Module) -> str | None:
    """What computes when a network of ours is trained on the CPU; None for any other."""
    engine: str | None = getattr(model, "engine", None)
    if engine not in ENGINES or next(model.parameters()).device.type != "cpu":
        return None
    if engine == "auto":
        engine = faster_engine()
    return "torch" if engine == "native" and load_kernels(torch.float32) is None else engine


@functools.cache
def faster_engine() -> str:
    """native or torch: what an earlier measurement on this machine said, or one made now."""
    if load_kernels(torch.float32) is None:
        return "torch"
    key = {"kernels": kernels_name(), "torch": str(torch.__version__)}
    kept = recall("engine", key)
    if kept in ("native", "torch"):
        return str(kept)
    seconds = {name: measure(name) for name in ("native", "torch")}
    engine = min(seconds, key=lambda name: seconds[name])
    log.info(
        "Engine %s: a step takes %s ms",
        engine,
        " and ".join(f"{1000 * s:.1f} ({name})" for name, s in seconds.items()),
    )
    remember("engine", key, engine)
    return engine


def measure(engine: str) -> float:
    """Seconds that forward and backward of a few typical blocks take, the best of three."""
    from raspitrain.model.layers import Variant
    from raspitrain.model.mobilenetv3 import MobileNetV3
    from raspitrain.model.tables import Row, Table

    rows = (
        Row(3, 72, 24, False, "RE", 2),
        Row(5, 240, 40, True, "HS", 2),
        Row(5, 576, 96, True, "HS", 2),
    )
    variant = Variant(
        bias=False,
        always_expand=False,
        project_activation=False,
        relu6=False,
        se_reduction=4,
        skip_batchnorm_at_length_1=False,
        conv_classifier=False,
        logits_activation=False,
        dropout=0.0,
        batchnorm_momentum=0.1,
        batchnorm_eps=1e-5,
    )
    # The first to ask may be one who wants no gradients: an evaluation, the trial of a new model.
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), torch.enable_grad():
        model = MobileNetV3(
            Table(stem=16, rows=rows, last=576, hidden=576),
            [2, 2, 2, 2],
            variant,
            num_channels=3,
            num_classes=2,
            engine=engine,
        )
        signals = torch.randn(16, 3, 128)
        taken = []
        for _ in range(4):  # the first one warms up
            begin = time.perf_counter()
            model(signals).sum().backward()
            taken.append(time.perf_counter() - begin)
    return min(taken[1:])
