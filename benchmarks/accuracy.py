"""Accuracy and seconds beside aeon's MiniRocket and MultiRocket-Hydra, on the sets it carries.

    python -m benchmarks.accuracy          # two hours; leave the machine alone
    python -m benchmarks.accuracy --sets GunPoint --models minirocket --seeds 0 1 2

The archive's own training and test parts, everything as its YAML or its default stands, in one
process on one thread. Contenders go in turns, seed by seed; seconds are processor time of fitting
and predicting together, the median over seeds, after aeon's functions have been compiled on a few
cases. Accuracy is the mean over seeds ± their standard deviation. `compare` is the model that
`raspitrain compare` takes, by folds of the training part alone and the first seed, trained with
every seed; the seconds of comparing are not among its own. Test parts choose nothing.

ResNet and InceptionTime: as their authors publish them (github.com/hfawaz/dl-4-tsc and
github.com/hfawaz/InceptionTime), copied at second hand; sets that they do not name have none.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import torch
from omegaconf import DictConfig
from threadpoolctl import threadpool_limits

from benchmarks.turns import compose, describe_machine, print_head, print_row
from raspitrain.data.cases import Cases
from raspitrain.data.ucr import carried_names, ucr

MODELS = ("minirocket", "multirocket_hydra", "mobilenetv3_small", "compare")
RIVALS = {
    "minirocket": "MiniRocketClassifier",
    "multirocket_hydra": "MultiRocketHydraClassifier",
}
PUBLISHED = {  # ResNet, InceptionTime
    "BasicMotions": (None, 100.0),
    "GunPoint": (99.1, 100.0),
    "ItalyPowerDemand": (96.2, 96.5),
    "JapaneseVowels": (99.2, 99.2),
    "ArrowHead": (83.8, 84.6),
    "OSULeaf": (98.0, 94.2),
    "ACSF1": (91.6, 92.0),
}
WARMING_CASES = 6

Result = tuple[float, float]  # accuracy, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", metavar="NAME")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--words", nargs="+", default=[], help="of our runs, such as augment.strength=auto"
    )
    args = parser.parse_args(arguments)

    warnings.simplefilter("ignore")  # aeon's, of numba
    torch.set_num_threads(1)
    print(f"{describe_machine()}, 1 thread; ours with {' '.join(args.words) or 'the defaults'}\n")
    heads = []
    for model in args.models:
        heads += [f"`{model}`, %", f"`{model}`, s"]
        if model in RIVALS:
            rival = RIVALS[model].removesuffix("Classifier")
            heads += [f"aeon's {rival}, %", f"aeon's {rival}, s"]
    if "compare" in args.models:
        heads.append("what it takes")
    print_head("set", *heads, "ResNet, published", "InceptionTime, published")
    with threadpool_limits(1):
        for name in args.sets or carried_names():
            cases = ucr(name=name, path=None, unequal="pad", length=None, missing="interpolate")
            contenders: list[Callable[[int], Result]] = []
            taken = ""
            for model in args.models:
                if model == "compare":
                    taken = recommended(name, args.seeds[0], args.words)
                trained = taken if model == "compare" else model
                contenders.append(ours(trained, name, args.words))
                if model in RIVALS:
                    contenders.append(aeons(RIVALS[model], cases))
            results: list[list[Result]] = [[] for _ in contenders]
            for seed in args.seeds:
                for turn, result in zip(contenders, results, strict=True):
                    result.append(turn(seed))
            cells = [cell for result in results for cell in describe(result)]
            if taken:
                cells.append(f"`{taken}`")
            published = ["–" if p is None else f"{p:.1f}" for p in PUBLISHED.get(name, (None,) * 2)]
            print_row(name, *cells, *published)
    return 0


def ours(model: str, name: str, words: Sequence[str]) -> Callable[[int], Result]:
    """A turn of a model of ours with the default recipe, but for what `words` say."""
    from raspitrain.run.loop import train_to_the_end
    from raspitrain.run.prepare import prepare

    def turn(seed: int) -> Result:
        cfg = configuration(model, name, seed, words)
        job = prepare(cfg)
        began = time.process_time()
        last = train_to_the_end(job, cfg)
        return float(last.row["test_accuracy"]), time.process_time() - began

    return turn


def recommended(name: str, seed: int, words: Sequence[str]) -> str:
    """The model that `raspitrain compare` would have this set trained with."""
    from raspitrain.cli.compare import MODELS as COMPARED
    from raspitrain.run.compare import choose, compare

    models = {model: configuration(model, name, seed, words).model for model in COMPARED}
    cfg = configuration(COMPARED[0], name, seed, words)
    found = choose(compare(cfg, models, num_folds=3, seconds=600, tell=lambda _: None))
    assert found is not None, "a fold takes less than ten minutes"
    return found[0].name


def configuration(model: str, name: str, seed: int, words: Sequence[str]) -> DictConfig:
    return compose(
        "dataset=ucr",
        f"dataset.name={name}",
        "dataset.unequal=pad",
        "dataset.missing=interpolate",
        f"model={model}",
        f"seed={seed}",
        "hardware.num_threads=1",
        *words,
    )


def aeons(classifier: str, cases: Cases) -> Callable[[int], Result]:
    """A turn of a classifier of aeon's, compiled before."""
    import aeon.classification.convolution_based as convolution_based

    make = getattr(convolution_based, classifier)
    assert cases.part is not None, "a carried set has a split of its own"
    train, test = cases.part == 0, cases.part == 2
    signals, labels = cases.signals[train], cases.labels[train]
    few = [*range(WARMING_CASES // 2), *range(-WARMING_CASES // 2, 0)]  # of two classes
    make(random_state=0).fit(signals[few], labels[few]).predict(signals[few])

    def turn(seed: int) -> Result:
        began = time.process_time()
        predicted = make(random_state=seed).fit(signals, labels).predict(cases.signals[test])
        seconds = time.process_time() - began
        return float((predicted == cases.labels[test]).mean()), seconds

    return turn


def describe(results: Sequence[Result]) -> tuple[str, str]:
    accuracies, seconds = zip(*results, strict=True)
    spread = f" ± {100 * statistics.stdev(accuracies):.1f}" if len(accuracies) > 1 else ""
    return f"{100 * statistics.mean(accuracies):.1f}{spread}", f"{statistics.median(seconds):.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
