"""How far should a signal be halved? Test accuracy for several rules on every set aeon carries.

    python benchmarks/downsamples.py                      # about an hour on one desktop core
    python benchmarks/downsamples.py --sets ItalyPowerDemand GunPoint --seeds 0 1 2

A rule says how many positions a case keeps at least before the pooling. `num_downsamples: auto`
follows the one that wins here; see `auto_downsamples` in raspitrain/model/scaling.py.
"""

import argparse
import statistics

import hydra
from omegaconf import DictConfig

from raspitrain.cli.main import config_folder
from raspitrain.data.ucr import carried_names
from raspitrain.model.scaling import length_after
from raspitrain.run.prepare import prepare

MIN_POSITIONS = (1, 2, 4, 8, 16)
STRIDES = 5  # of the paper's networks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sets", nargs="+", default=carried_names())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--model", default="mobilenetv3_small")
    args = parser.parse_args()

    rules = [f"≥ {positions}" for positions in MIN_POSITIONS]
    print(f"{args.model}, test accuracy in % (halvings), mean of seeds {args.seeds}\n")
    print("| set | length | " + " | ".join(rules) + " |")
    print("|---" * (len(rules) + 2) + "|", flush=True)
    for name in args.sets:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            cfg = hydra.compose(
                "config", ["dataset=ucr", f"dataset.name={name}", f"model={args.model}"]
            )
        cfg.hardware.num_threads = 1
        length = prepare(cfg).cases.signals.shape[2]
        measured: dict[int, float] = {}
        cells = []
        for positions in MIN_POSITIONS:
            halvings = max(
                (h for h in range(STRIDES + 1) if length_after(length, h) >= positions), default=0
            )
            if halvings not in measured:
                measured[halvings] = statistics.mean(
                    accuracy(cfg, halvings, seed) for seed in args.seeds
                )
            cells.append(f"{100 * measured[halvings]:.1f} ({halvings})")
        print(f"| {name} | {length} | " + " | ".join(cells) + " |", flush=True)


def accuracy(cfg: DictConfig, halvings: int, seed: int) -> float:
    cfg.seed = seed
    cfg.model.num_downsamples = halvings
    prepared = prepare(cfg)
    epochs = prepared.epochs
    *_, last = prepared.training.evaluations(epochs, eval_every=epochs)
    return float(last.row["test_accuracy"])


if __name__ == "__main__":
    main()
