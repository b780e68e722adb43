"""Would the kernels gain from vectors of 64 bytes on a processor with AVX-512?

    python -m benchmarks.wide_vectors          # three minutes; leave the machine alone

A training step with the kernels as they are (vectors of 32 bytes, 32 registers of them), and with a
copy of them for vectors of 64, in turns in one process, one thread; given are medians of the
processor's time over the turns. The kernels of the MobileNetV3s take widths in whole vectors:
beside the network as it is runs one with every width rounded up to a multiple of 16, which is what
padding would compute.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.a76.step import build
from benchmarks.turns import describe_machine, print_head, print_row, take_turns
from raspitrain.model import mobilenetv3, tables
from raspitrain.model.engine import general, kernels
from raspitrain.model.engine.choose import engine_in_use, left_to_torch, set_engine
from raspitrain.model.scaling import make_divisible

MOBILENETS = ("mobilenetv3_small_blog", "mobilenetv3_large_blog", "mobilenetv3_small",
              "mobilenetv3_large")  # fmt: skip
MODELS = (*MOBILENETS, "resnet", "fcn", "inceptiontime", "mobilenetv1", "shufflenetv2")
NUM_CHANNELS, LENGTH = 3, 224
ROUNDING = 1e-3

# Tiles: as many sums as 32 registers hold.
TILES = """#if 1
#define VECTOR_BYTES 64
#define MAX_PANEL 3
#define ROWS(panel) ((panel) == 3 ? 8 : 12)
#define MAX_TALL 1
#define TALL(across) 1
#define WIDE 1
#elif defined(__AVX512VL__)"""
LIMITS = """#elif defined(__AVX__)
#include <immintrin.h>
#define __m256 __m512
#define __m256d __m512d
#define _mm256_max_ps _mm512_max_ps
#define _mm256_min_ps _mm512_min_ps
#define _mm256_max_pd _mm512_max_pd
#define _mm256_min_pd _mm512_min_pd"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[8, 50])
    parser.add_argument("--rounds", type=int, default=9, help="the least of a row")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a row, about")
    args = parser.parse_args(arguments)
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or " avx512vl " not in cpuinfo.read_text():
        print("This processor has no AVX-512.", file=sys.stderr)
        return 2

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print(f"{describe_machine()}; 1 thread\n")
    print_head("model", "batch", "32 bytes, ms", "64 bytes, ms", "32 / 64")
    narrow = kernels.SOURCE.parent
    with tempfile.TemporaryDirectory() as folder:
        wide = widened(narrow, Path(folder) / "engine")
        for model in args.models:
            for batch_size in args.batch_sizes:
                check(model, wide, batch_size)
                steps = {
                    name: step(network_for(model, of), of, batch_size)
                    for name, of in (("narrow", narrow), ("wide", wide))
                }
                taken = take_turns(
                    steps, rounds=args.rounds, seconds=args.seconds, clock=time.process_time
                )
                before, after = (1e3 * statistics.median(taken[name]) for name in steps)
                ratio = f"{before / after:.2f}"
                print_row(model, batch_size, f"{before:.1f}", f"{after:.1f}", ratio)
    return 0


def widened(engine: Path, to: Path) -> Path:
    """A copy of the kernels for vectors of 64 bytes."""
    shutil.copytree(engine, to)
    header = to / "vectors.h"
    text = header.read_text()
    for old, new in (
        ("#if defined(__AVX512VL__)", TILES),
        ("#elif defined(__AVX__)\n#include <immintrin.h>", LIMITS),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    header.write_text(text)
    return to


@contextmanager
def using(engine: Path) -> Iterator[None]:
    """Let networks take the kernels of this folder."""
    with (
        mock.patch.object(kernels, "SOURCE", engine / kernels.SOURCE.name),
        mock.patch.object(general, "SOURCE", engine / general.SOURCE.name),
    ):
        yield


def network_for(model: str, engine: Path) -> nn.Module:
    """The network, of widths that these kernels take."""

    def rounded_up(width: float, divisor: int = 8) -> int:
        return -(-make_divisible(width, divisor) // 16) * 16

    widths = make_divisible if engine == kernels.SOURCE.parent else rounded_up
    torch.manual_seed(0)
    with (
        mock.patch.object(tables, "make_divisible", widths),
        mock.patch.object(mobilenetv3, "make_divisible", widths),
    ):
        network = build("ours", model, NUM_CHANNELS, LENGTH)
    set_engine(network, "native")
    return network


def check(model: str, engine: Path, batch_size: int) -> None:
    """Whether these kernels compute what the package's do."""
    signals, logits = torch.randn(batch_size, NUM_CHANNELS, LENGTH), list[Tensor]()
    for of in (kernels.SOURCE.parent, engine):
        network = network_for(model, engine).eval()  # which keeps how it is laid out
        with using(of), torch.no_grad():
            assert engine_in_use(network) == "native"
            assert left_to_torch(network) is None
            logits.append(network(signals))
    torch.testing.assert_close(*logits, rtol=ROUNDING, atol=ROUNDING)


def step(network: nn.Module, engine: Path, batch_size: int) -> Callable[[], object]:
    """A turn: forward, cross-entropy, backward."""
    network.train()
    signals, labels = torch.randn(batch_size, NUM_CHANNELS, LENGTH), torch.arange(batch_size) % 2

    def turn() -> None:
        with using(engine):
            network.zero_grad(set_to_none=True)
            F.cross_entropy(network(signals), labels).backward()

    return turn


if __name__ == "__main__":
    raise SystemExit(main())
