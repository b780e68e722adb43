"""Count the instructions of one training step, inside benchmarks/a76/run.sh.

bash benchmarks/a76/run.sh                                        the whole table
bash benchmarks/a76/run.sh --network ours --model mobilenetv3_small_blog
bash benchmarks/a76/run.sh --profile --network plain --model mobilenetv3_large
"""

import argparse

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from benchmarks.a76.laps import count
from benchmarks.plain import plain_network, train_step
from raspitrain.cli.main import config_folder
from raspitrain.model.engine.choose import engage

MODELS = (
    "mobilenetv3_small_blog",
    "mobilenetv3_large_blog",
    "mobilenetv3_small",
    "mobilenetv3_large",
)
TRACED = ("resnet", "fcn", "inceptiontime")  # whose plain statement is their modules
NETWORKS = ("plain", "ours")
RATIOS = (("plain", "ours"), ("ours", "floor"))


def build(network: str, model: str, num_channels: int, length: int) -> nn.Module:
    """The network of one row: the plain statement, or raspitrain's by its configuration."""
    if network == "plain" and model not in TRACED:
        table = model.removeprefix("mobilenetv3_")
        return plain_network(table, blog=model.endswith("blog"), num_channels=num_channels)
    settings = OmegaConf.load(config_folder() / f"model/{model}.yaml")
    built = instantiate(settings, num_channels=num_channels, num_classes=2, length=length)
    assert isinstance(built, nn.Module)
    if network == "ours":
        engage(built, "native", num_channels)
    return built


def floor(model: str, *, batch_size: int, num_channels: int, length: int) -> float:
    """Instructions of the step's multiply-adds alone, four of them in each.

    Every weight meets every position that it is applied to three times: forward, for the gradient
    of the input (the signals need none) and for its own.
    """
    network = build("plain", model, num_channels, length).eval()
    multiply_adds = 0

    def add(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal multiply_adds
        weight = layer.get_parameter("weight")
        passes = 2 if inputs[0] is signals else 3
        multiply_adds += passes * weight[0].numel() * output.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Linear):
            layer.register_forward_hook(add)
    signals = torch.zeros(1, num_channels, length)
    network(signals)
    return batch_size * multiply_adds / 4


def count_step(network: str, model: str, *, batch_size: int, num_channels: int, length: int) -> int:
    """Instructions of the third step, SGD with momentum, two classes."""
    torch.manual_seed(0)
    built = build(network, model, num_channels, length).train()
    signals = torch.randn(batch_size, num_channels, length)
    labels = torch.randint(2, (batch_size,))
    optimizer = torch.optim.SGD(built.parameters(), lr=0.001, momentum=0.9, fused=network == "ours")

    def step() -> None:
        train_step(built, optimizer, signals, labels)

    step()
    step()
    return count(f"{model}, {network}", step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, action="append")
    parser.add_argument("--model", choices=(*MODELS, *TRACED), action="append")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--num-channels", type=int, default=3)
    parser.add_argument("--length", type=int, default=224)
    arguments = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread, fp32, batch "
        f"{arguments.batch_size} x {arguments.num_channels} x {arguments.length}"
    )
    sizes = {name: getattr(arguments, name) for name in ("batch_size", "num_channels", "length")}
    rows = []
    for model in arguments.model or MODELS:
        row = {"floor": floor(model, **sizes)}
        for network in arguments.network or NETWORKS:
            row[network] = count_step(network, model, **sizes)
        rows.append((model, row))

    ratios = [pair for pair in RATIOS if rows[0][1].keys() >= set(pair)]
    print(
        f"\n{'M instructions':26}"
        + "".join(f"{name:>10}" for name in rows[0][1])
        + "".join(f"{'/'.join(pair):>12}" for pair in ratios)
    )
    for model, row in rows:
        print(
            f"{model:26}"
            + "".join(f"{value / 1e6:10.1f}" for value in row.values())
            + "".join(f"{row[one] / row[other]:12.2f}" for one, other in ratios)
        )


if __name__ == "__main__":
    main()
