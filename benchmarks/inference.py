"""One window, one thread: our engine in fp32 and int8 beside LiteRT, ONNX Runtime and torch.

    python -m benchmarks.inference             # a minute; needs the extra bench
    python -m benchmarks.inference --models mobilenetv3_large --length 512

Random weights, as speed does not depend on them; a window of 3 channels, normalised and answered
with logits. All take turns in one process; times are medians over the turns; each must first give
torch's logits. LiteRT's file is written by litert_model.py, as README.md says. Instructions on an
emulated A76: `make bench-a76`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.turns import compose, describe_machine, print_head, print_row, take_turns

CHANNELS = 3
CALLS = 20  # in a turn


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=["mobilenetv3_small", "mobilenetv3_large"], metavar="NAME"
    )
    parser.add_argument("--length", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each model")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{describe_machine()}, 1 thread\n")
    print_head("model", "by", "µs a window", "beside fp32")
    for name in args.models:
        turns = contenders(name, args.length)
        taken = take_turns(turns, rounds=5, seconds=args.seconds)
        micros = {by: 1e6 * statistics.median(times) / CALLS for by, times in taken.items()}
        for by, value in micros.items():
            print_row(name, by, f"{value:.0f}", f"{value / micros['ours, fp32']:.2f}")
    return 0


def contenders(name: str, length: int) -> dict[str, Callable[[], object]]:
    """Turns of some windows each; the same answers to what their arithmetic can."""
    import onnxruntime

    from benchmarks.litert_model import litert_model
    from raspitrain.config.build import build
    from raspitrain.export.trained import packed
    from raspitrain.export.write import Contract, packed_engine
    from raspitrain.model.engine.choose import set_engine

    config = compose(f"model={name}").model
    torch.manual_seed(0)
    model = build("model", config, (), num_channels=CHANNELS, num_classes=10, length=length).eval()
    set_engine(model, "plain")
    window = np.random.default_rng(0).standard_normal((CHANNELS, length)).astype(np.float32)
    batch = torch.from_numpy(window)[None]
    contract = Contract([""] * CHANNELS, [0.0] * CHANNELS, [1.0] * CHANNELS, "error")
    turns: dict[str, Callable[[], object]] = {}
    for precision in ("fp32", "int8"):
        network, arrays = packed(model, num_channels=CHANNELS, length=length, precision=precision)
        engine = packed_engine(network, arrays, contract)
        turns[f"ours, {precision}"] = repeated(partial(engine.run, window.ctypes.data, length, 1))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        program = torch.onnx.export(model, (batch,), dynamo=True, verbose=False)
        assert program is not None
        program.save(path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    turns["ONNX Runtime, fp32"] = repeated(lambda: session.run(None, {given.name: batch.numpy()}))
    (logits,) = session.run(None, {given.name: batch.numpy()})
    expect(name, "ONNX Runtime", logits, model, batch, 1e-4)
    for precision, error in (("fp32", 1e-4), ("int8", 0.1)):
        try:
            content = litert_model(program.model_proto, int8=precision == "int8")
        except NotImplementedError as reason:
            print(f"{name}: without LiteRT: {reason}.")
            break
        by_litert = litert(content, window)
        expect(name, f"LiteRT, {precision}", by_litert(), model, batch, error)
        turns[f"LiteRT, {precision}"] = repeated(by_litert)

    def by_torch() -> None:
        with torch.inference_mode():
            model(batch)

    turns["torch, fp32"] = repeated(by_torch)
    return turns


def litert(content: bytes, window: np.ndarray) -> Callable[[], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    signal = np.ascontiguousarray(window.T[None, None])

    def run() -> np.ndarray:
        interpreter.set_tensor(given["index"], signal)
        interpreter.invoke()
        logits: np.ndarray = interpreter.get_tensor(answer["index"])
        return logits

    return run


def expect(
    name: str, by: str, logits: Any, model: torch.nn.Module, batch: torch.Tensor, error: float
) -> None:
    """Stop where somebody else's file is not the network that torch runs."""
    with torch.inference_mode():
        wanted = model(batch).numpy()
    if (off := np.abs(logits - wanted).max() / np.abs(wanted).max()) > error:
        raise SystemExit(f"{name}: {by} is {off:.2g} off torch's logits: nothing is compared.")


def repeated(work: Callable[[], object]) -> Callable[[], object]:
    def turn() -> None:
        for _ in range(CALLS):
            work()

    return turn


if __name__ == "__main__":
    raise SystemExit(main())
