"""The same job in a plain loop, under Lightning's Trainer, under skorch, and ours.

    pip install -e '.[bench]'
    python -m benchmarks.frameworks         # about two minutes; leave the machine alone
    python -m benchmarks.frameworks --contenders plain ours

The blog's networks, data (noise, 3 × 224), batch size and SGD. Lightning and skorch train the plain
network of benchmarks/plain.py, with everything switched off that the plain loop lacks as well:
logging, checkpoints, progress bar, validation, scores. All take turns in one process, two epochs a
turn; what a framework sets up before them, a few hundredths of the time here, counts.
"""

import argparse
import importlib
import logging
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.plain import plain_network, train
from benchmarks.turns import (
    blog_job,
    describe_machine,
    print_head,
    print_row,
    take_turns,
    training,
)
from raspitrain.run.prepare import Prepared

LR, MOMENTUM = 0.001, 0.9  # as in benchmarks/plain.py and experiment=blog
MODELS = ("mobilenetv3_small_blog", "mobilenetv3_large_blog")
Turn = Callable[[], object]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--cases", type=int, default=250, help="in an epoch")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=2, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5, help="the least of a row")
    parser.add_argument("--seconds", type=float, default=25.0, help="of a row, about")
    args = parser.parse_args(arguments)

    versions = []
    for name in PACKAGES:
        if name in args.contenders:
            try:
                versions.append(f"{name} {importlib.import_module(name).__version__}")
            except ImportError as error:
                print(
                    f"error: {name} cannot be imported ({error}): install it with "
                    "pip install -e '.[bench]', or leave it out, as in --contenders plain ours.",
                    file=sys.stderr,
                )
                return 2

    print("; ".join([describe_machine(), *versions]) + "\n")
    print_head(
        "model", "threads",
        *(f"{name}, samples/s" for name in args.contenders),
        *(f"{name} / {args.contenders[0]}" for name in args.contenders[1:]),
    )  # fmt: skip
    for threads in args.threads:
        for model in args.models:
            job = blog_job(model, num_cases=args.cases, batch_size=args.batch_size, threads=threads)
            turns = {name: CONTENDERS[name](model, job, args.epochs) for name in args.contenders}
            taken = take_turns(turns, rounds=args.rounds, seconds=args.seconds)
            rates = [args.epochs * args.cases / statistics.median(t) for t in taken.values()]
            print_row(
                model, threads,
                *(f"{rate:.0f}" for rate in rates),
                *(f"{rate / rates[0]:.2f}" for rate in rates[1:]),
            )  # fmt: skip
    return 0


def plain_job(model: str, job: Prepared) -> tuple[nn.Module, Tensor, Tensor]:
    """The plain network, signals (cases, C, L) and labels (cases,)."""
    signals, labels = job.training.parts["train"].gather(
        torch.arange(len(job.training.parts["train"]))
    )
    network = plain_network(
        model.removeprefix("mobilenetv3_"), blog=True, num_channels=signals.shape[1]
    )
    return network.train(), signals, labels


def plain_loop(model: str, job: Prepared, epochs: int) -> Turn:
    network, signals, labels = plain_job(model, job)
    return lambda: train(
        network, signals, labels, epochs=epochs, batch_size=job.training.batch_size
    )


def with_lightning(model: str, job: Prepared, epochs: int) -> Turn:
    import lightning

    network, signals, labels = plain_job(model, job)
    loader = DataLoader(
        TensorDataset(signals, labels), batch_size=job.training.batch_size, shuffle=True
    )

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
            return F.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)

    # It advises more loader processes, which such a job only gets slower by, and a GPU.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    module = Module()

    def turn() -> None:
        trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", devices=1, barebones=True)
        trainer.fit(module, loader)

    return turn


def with_skorch(model: str, job: Prepared, epochs: int) -> Turn:
    import skorch

    network, signals, labels = plain_job(model, job)
    net = skorch.NeuralNet(
        network,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM,
        lr=LR,
        max_epochs=epochs,
        batch_size=job.training.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks="disable",
        verbose=0,
    ).initialize()
    return lambda: net.partial_fit(signals, labels)


def ours(model: str, job: Prepared, epochs: int) -> Turn:
    return training(job, epochs=epochs)


PACKAGES = ("lightning", "skorch")
CONTENDERS: dict[str, Callable[[str, Prepared, int], Turn]] = {
    "plain": plain_loop,
    "lightning": with_lightning,
    "skorch": with_skorch,
    "ours": ours,
}


if __name__ == "__main__":
    raise SystemExit(main())
