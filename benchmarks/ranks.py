"""One model by several hosts: what is left of their speeds, all added up?

    python -m benchmarks.ranks             # 20 minutes; as root, with Debian's iproute2

Hosts are network namespaces on a switch of 940 Mbit/s, ranks the real command, sums gloo's own. A
few cores cannot be four boards, so a step is a wait: every case takes a host so many milliseconds,
and the network holds as many numbers as mobilenetv3_small, which are summed and stepped for real.
That part takes processors: on a machine that is busy, or has fewer cores than hosts, what is left
is less than boards would have. Speeds that are added up are those of each host alone, by the same
command.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.turns import describe_machine, print_head, print_row
from raspitrain.distributed.launch import PORT
from raspitrain.stop import Stopped, StopSignals, say

WAITING = """
import os
import time

import torch
from torch import nn

MS = float(os.environ["WAITING_MS"])  # of a case


class Waiting(nn.Module):
    def __init__(self, num_channels, num_classes, length):
        super().__init__()
        self.out = nn.Linear(num_channels * length, num_classes)
        self.rest = nn.Parameter(torch.zeros(1_472_962))

    def forward(self, signals):
        if self.training:
            time.sleep(1e-3 * MS * len(signals))
        return self.out(signals.flatten(1)) + 0 * self.rest.sum()
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--step-ms", type=float, default=45, help="of the fastest host's batch")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--mbit", type=int, default=940)
    parser.add_argument("--slower", type=float, default=2.4, help="times, the slower of two hosts")
    parser.add_argument("--steps", type=int, default=2000, help="of each host")
    args = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("error: network namespaces are made by root alone: sudo", file=sys.stderr)
        return 2
    try:
        with StopSignals():
            rows(args)
    except Stopped as stopped:
        say("interrupted")
        return stopped.exit_code
    return 0


def rows(args: argparse.Namespace) -> None:
    print(f"{describe_machine()}; load {os.getloadavg()[0]:.1f}\n")
    print_head(
        "hosts", "sync", "shares", "sum, ms", "cases/s", "of the speeds' sum", "equal shares"
    )
    fast = args.step_ms / args.batch_size
    alone = {}
    for wait in (fast, args.slower * fast):
        found = train([wait], "none", args)
        assert found is not None
        alone[wait] = found["samples_per_second"]
        print_row(f"{fast / wait:.2f}", "alone", "", "", f"{alone[wait]:.0f}", "", "")
    for waits, sync in (
        ([fast, args.slower * fast], "every_step"),
        ([fast, args.slower * fast], "auto"),
        ([fast] * 4, "every_step"),
        ([fast] * 4, "auto"),
    ):
        print_row(*row_of(waits, sync, args, alone))


def row_of(
    waits: Sequence[float], sync: str, args: argparse.Namespace, alone: dict[float, float]
) -> list[str]:
    """Run it, and say what came of it.

    Parameters
    ----------
    waits : ms that each host takes for a case
    alone : cases a second of a host that takes so long
    """
    hosts = " : ".join(f"{min(waits) / wait:.2f}" for wait in waits)
    found = train(waits, sync, args)
    if found is None:
        return [hosts, sync, *["refused"] * 5]
    ranks = found["ranks"]
    most = sum(alone[wait] for wait in waits)
    speed = found["samples_per_second"]
    every = ranks["sync_every"]
    # What each would do with as much as the others, were sums free.
    equal = len(waits) * min(alone[wait] for wait in waits) / most
    return [
        hosts,
        f"{sync}{'' if sync == 'every_step' else f' (every {every})'}",
        " : ".join(f"{share:.2f}" for share in ranks["shares"]),
        f"{ranks['sync_ms']:.0f}",
        f"{speed:.0f}",
        f"{speed / most:.2f}",
        f"{equal:.2f} at most",
    ]


def train(waits: Sequence[float], sync: str, args: argparse.Namespace) -> dict | None:
    """summary.json of a run by so many hosts; None where it is refused, as one would be as fast."""
    from tests.hosts import hosts

    cases = 100 * args.batch_size * len(waits)  # of which 70 % are trained on
    epochs = max(1, round((args.steps if len(waits) > 1 else args.steps / 4) / 70))
    with tempfile.TemporaryDirectory() as name, hosts(len(waits)) as network:
        folder = Path(name)
        network.set_speed(args.mbit)
        (folder / "waiting.py").write_text(WAITING)
        (folder / "conf" / "model").mkdir(parents=True)
        (folder / "conf" / "model" / "waiting.yaml").write_text("_target_: waiting.Waiting\n")
        words = [
            "--config-dir", "conf", "model=waiting", "allowed_targets=[waiting.Waiting]",
            "optimizer=sgd", "augment=none", "export=none", "hardware.engine=plain",
            "hardware.num_threads=1", "dataset.length=8", "dataset.num_classes=2",
            f"dataset.num_cases={cases}", f"batch_size={args.batch_size}", f"epochs={epochs}",
            f"eval_every={epochs}", f"distributed.sync={sync}", "hydra.run.dir=run",
        ]  # fmt: skip
        meeting = {
            "WORLD_SIZE": str(len(waits)), "MASTER_ADDR": network.address(0),
            "MASTER_PORT": str(PORT), "PYTHONPATH": name,
        }  # fmt: skip
        ranks = [
            subprocess.Popen(
                [*network.inside(rank), sys.executable, "-m", "raspitrain", *words],
                cwd=folder,
                env=os.environ | meeting | {"RANK": str(rank), "WAITING_MS": str(wait)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank, wait in enumerate(waits)
        ]
        said = [rank.communicate()[0] for rank in ranks]
        if all("as fast as the fastest alone" in each for each in said):
            return None
        if any(rank.returncode for rank in ranks):
            raise RuntimeError("\n".join(said))
        return json.loads((folder / "run" / "summary.json").read_text())


if __name__ == "__main__":
    sys.exit(main())
