"""Write mobilenetv3_small for windows of 3 × 224, in both precisions, for inference.sh to count:
PRECISION.tensors, which inference.c reads, and PRECISION.rpt.

    python -m benchmarks.a76.inference_model FOLDER
"""

import struct
import sys
from pathlib import Path

import numpy as np
import torch
import yaml

from raspitrain.export.pack import pack
from raspitrain.export.write import Answer, Contract, write_model
from raspitrain.model.mobilenetv3 import mobilenetv3
from raspitrain.paths import config_folder
from raspitrain.use.engine import ALIGNMENT
from raspitrain.use.network import description

CHANNELS, LENGTH, CLASSES = 3, 224, 5


def main(folder: Path) -> None:
    settings = yaml.safe_load((config_folder() / "model/mobilenetv3_small.yaml").read_text())
    settings.pop("_target_")
    settings["batchnorm_eps"] = float(settings["batchnorm_eps"])
    shape = {"num_channels": CHANNELS, "num_classes": CLASSES, "length": LENGTH}
    torch.manual_seed(0)
    model = mobilenetv3(**(settings | shape)).eval()
    contract = Contract(
        [f"channel_{c}" for c in range(CHANNELS)], [0.0] * CHANNELS, [1.0] * CHANNELS, "error"
    )
    answer = Answer([f"class {k}" for k in range(CLASSES)])
    for precision in ("fp32", "int8"):
        network, arrays = pack(model, length=LENGTH, precision=precision)
        write_model(folder / f"{precision}.rpt", network, arrays, contract, answer, {})
        tensors = [np.zeros(CHANNELS, np.float32), np.ones(CHANNELS, np.float32), *arrays]
        (folder / f"{precision}.tensors").write_bytes(as_tensors(description(network), tensors))


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
