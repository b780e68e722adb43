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
from raspitrain.cli import config_folder

MODELS = (
    "mobilenetv3_small_blog",
    "mobilenetv3_large_blog",
    "mobilenetv3_small",
    "mobilenetv3_large",
)
NETWORKS = ("plain", "ours")


def build(network: str, model: str, num_channels: int, length: int) -> nn.Module:
    """The network of one row: the plain statement, or raspitrain's by its configuration."""
    if network == "plain":
        table = model.removeprefix("mobilenetv3_")
        return plain_network(table, blog=model.endswith("blog"), num_channels=num_channels)
    settings = OmegaConf.load(config_folder() / f"model/{model}.yaml")
    return instantiate(settings, num_channels=num_channels, num_classes=2, length=length)


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
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--num-channels", type=int, default=3)
    parser.add_argument("--length", type=int, default=224)
    arguments = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread, fp32, batch "
        f"{arguments.batch_size} x {arguments.num_channels} x {arguments.length}"
    )
    for model in arguments.model or MODELS:
        counts = {
            network: count_step(
                network,
                model,
                batch_size=arguments.batch_size,
                num_channels=arguments.num_channels,
                length=arguments.length,
            )
            for network in arguments.network or NETWORKS
        }
        if len(counts) == 2:
            print(f"{'':40} {counts['plain'] / counts['ours']:12.2f} x")


if __name__ == "__main__":
    main()
