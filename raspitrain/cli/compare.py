"""raspitrain compare …: which model suits these data, by folds of their training part.

    python -m raspitrain compare FOLDER
    python -m raspitrain compare dataset=ucr dataset.name=GunPoint --minutes 2

MiniRocket, MultiRocket-Hydra, ResNet and MobileNetV3 are trained as a run with the same words would
train them. The test part is not looked at. It writes nothing.
"""

import argparse
import shlex
import statistics
import sys
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from raspitrain.config.composition import check_composition
from raspitrain.errors import InputError, aligned, printable
from raspitrain.paths import config_folder, options_of
from raspitrain.stop import say

NOT_HERE = ("model", "resume", "task", "sweep", "sweep_name", "--multirun", "-m")
MODELS = ("minirocket", "multirocket_hydra", "resnet", "mobilenetv3_small")


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; return the exit code."""
    known = options_of("model")
    parser = argparse.ArgumentParser(
        prog="raspitrain compare",
        description=(__doc__ or "").splitlines()[0].partition(": ")[2],
        epilog="Everything else is key=value as for training, or a FOLDER of recordings.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="for all of it (%(default)g)")
    parser.add_argument("--folds", type=int, default=3, help="of the training part (%(default)d)")
    parser.add_argument("--models", default=",".join(MODELS), help="of conf/model (%(default)s)")
    given, rest = parser.parse_known_args(sys.argv[1:] if words is None else words)
    for word in rest:
        key = word.partition("=")[0].lstrip("+~")
        if key.split(".")[0] in NOT_HERE:
            say(f"error: {printable(word)} does not go with compare: --models says what it trains")
            return 2
    models = given.models.split(",")
    for name in models:
        if name not in known:
            say(f"error: --models {printable(name)}: it may be {', '.join(known)}")
            return 2
    if not given.minutes > 0 or given.folds < 2:
        say("error: compare takes minutes above 0 and at least 2 folds")
        return 2
    from raspitrain.cli.main import look

    def do(cfg: DictConfig, overrides: list[str]) -> None:
        show(cfg, overrides, models, minutes=given.minutes, num_folds=given.folds)

    return look(rest, do)


def show(
    cfg: DictConfig,
    overrides: Sequence[str],
    names: Sequence[str],
    *,
    minutes: float,
    num_folds: int,
) -> None:
    """Compare, and print a table and which model to take.

    Raises
    ------
    InputError
        As a run would.
    """
    check_composition(cfg, list(overrides))
    models = {}
    for name in names:
        node = OmegaConf.load(config_folder() / "model" / f"{name}.yaml")
        assert isinstance(node, DictConfig)
        models[name] = node
    from raspitrain.run.compare import choose, compare

    rivals = compare(cfg, models, num_folds=num_folds, seconds=60 * minutes, tell=say)
    rows = [["model", "accuracy, %", "± s.e.", "folds", "training, s", "a window, ms", "size, MB"]]
    for rival in rivals:
        if not rival.num_folds:
            rows.append([rival.name, "", "", "0", "", "", ""])
            continue
        rows.append([
            rival.name, f"{100 * rival.accuracy:.1f}", f"{100 * rival.standard_error:.1f}",
            f"{rival.num_folds}/{num_folds}", f"{statistics.median(rival.seconds):.2f}",
            f"{rival.latency_ms:.2f}", f"{rival.num_bytes / 1e6:.2f}",
        ])  # fmt: skip
    print("\n".join([*aligned(rows, right=True), ""]))
    for rival in rivals:
        if rival.note:
            print(printable(f"{rival.name}: {rival.note}"))
    found = choose(rivals)
    if found is None:
        raise InputError(f"No fold was finished in {minutes:g} minutes: give --minutes more.")

    taken, near = found
    best = max(near, key=lambda rival: rival.accuracy)
    why = "the most accurate"
    if taken is not best:
        why = f"within one standard error of {best.name}, and faster"
    elif len(near) > 1:
        others = " and ".join(rival.name for rival in near[1:])
        why = f"the most accurate; {others} within one standard error of it, and slower"
    print(f"take {taken.name}: {why}")
    print(printable(f"    python -m raspitrain {shlex.join([*overrides, f'model={taken.name}'])}"))


if __name__ == "__main__":
    sys.exit(main())
