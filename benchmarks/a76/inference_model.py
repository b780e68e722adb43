"""Write what inference.sh counts: mobilenetv3_small for windows of 3 × 224 in both precisions,
PRECISION.tensors, which inference.c reads, and PRECISION.rpt; of a network of layers, resnet,
graph-PRECISION.tensors; and for a stream of 6 channels at 100 Hz stream.rpt, with 10 and 20 seconds
of samples, 10.csv and 20.csv.

    python -m benchmarks.a76.inference_model FOLDER
"""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from raspitrain.export.pack import pack
from raspitrain.export.pack_graph import pack_graph
from raspitrain.export.write import Answer, Contract, write_model
from raspitrain.model.mobilenetv3 import MobileNetV3, mobilenetv3
from raspitrain.model.resnet import ResNet
from raspitrain.paths import config_folder
from raspitrain.use import graph
from raspitrain.use.engine import ALIGNMENT
from raspitrain.use.network import description

CHANNELS, LENGTH, CLASSES = 3, 224, 5
STREAM_CHANNELS, STREAM_LENGTH, STREAM_RATE, STREAM_HOP = 6, 128, 100, 10
ANSWER = Answer([f"class {k}" for k in range(CLASSES)])


def main(folder: Path) -> None:
    model = network(CHANNELS, LENGTH)
    contract = contract_of(CHANNELS)
    for precision in ("fp32", "int8"):
        described, arrays = pack(model, length=LENGTH, precision=precision)
        write_model(folder / f"{precision}.rpt", described, arrays, contract, ANSWER, {})
        tensors = [np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32), *arrays]
        (folder / f"{precision}.tensors").write_bytes(as_tensors(description(described), tensors))
        described, arrays = pack_graph(
            resnet(), num_channels=CHANNELS, length=LENGTH, precision=precision
        )
        tensors = [np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32), *arrays]
        content = as_tensors(graph.description(described), tensors)
        (folder / f"graph-{precision}.tensors").write_bytes(content)
    write_stream(folder)


def network(channels: int, length: int) -> MobileNetV3:
    settings = yaml.safe_load((config_folder() / "model/mobilenetv3_small.yaml").read_text())
    settings.pop("_target_")
    settings["batchnorm_eps"] = float(settings["batchnorm_eps"])
    shape = {"num_channels": channels, "num_classes": CLASSES, "length": length}
    torch.manual_seed(0)
    return mobilenetv3(**(settings | shape)).eval()


def resnet() -> ResNet:
    torch.manual_seed(0)
    return ResNet(num_channels=CHANNELS, num_classes=CLASSES, length=LENGTH, width=32).eval()


def contract_of(channels: int, **more: Any) -> Contract:
    names = [f"channel_{c}" for c in range(channels)]
    return Contract(names, [0.0] * channels, [1.0] * channels, "error", **more)


def write_stream(folder: Path) -> None:
    model = network(STREAM_CHANNELS, STREAM_LENGTH)
    described, arrays = pack(model, length=STREAM_LENGTH, precision="int8")
    contract = contract_of(
        STREAM_CHANNELS, rate=float(STREAM_RATE), hop=STREAM_HOP,
        quantiles=[[-3.1, 0.0, 3.1]] * STREAM_CHANNELS,
    )  # fmt: skip
    write_model(folder / "stream.rpt", described, arrays, contract, ANSWER, {})
    random = np.random.default_rng(0)
    for seconds in (10, 20):
        lines = [",".join(["time", *contract.channels])]
        for k, row in enumerate(random.normal(size=(seconds * STREAM_RATE, STREAM_CHANNELS))):
            lines.append(",".join([f"{k / STREAM_RATE:g}", *(f"{value:.5f}" for value in row)]))
        (folder / f"{seconds}.csv").write_text("\n".join(lines) + "\n")


def as_tensors(numbers: list[int], tensors: list[np.ndarray]) -> bytes:
    """int64: how many numbers, the numbers, how many tensors, their offsets; then the tensors."""
    at = 8 * (2 + len(numbers) + len(tensors))
    offsets, content = [], b""
    for tensor in tensors:
        content += bytes(-(at + len(content)) % ALIGNMENT)
        offsets.append(at + len(content))
        content += tensor.tobytes()
    head = [len(numbers), *numbers, len(tensors), *offsets]
    return struct.pack(f"<{len(head)}q", *head) + content


if __name__ == "__main__":
    main(Path(sys.argv[1]))
