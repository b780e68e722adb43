"""What each key of the configuration may be, checked before anything heavy is imported.

The values themselves stand in conf/; here stands only which values make sense. What every run has
goes by its key; what a component takes goes by its `_target_`, so that two networks may both have
a `width` and mean different things by it.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from raspitrain.config.rule import (
    AUTO,
    COLUMN,
    FRACTION,
    NULL,
    SWITCH,
    Rule,
    either,
    file_name,
    list_of,
    number,
    one_of,
    span,
    text,
    whole,
)
from raspitrain.data.recorded.annotations import UNITS
from raspitrain.errors import InputError
from raspitrain.nearest import did_you_mean

RULES: dict[str, Rule] = {
    "seed": whole(0, most=2**32 - 1),
    "epochs": either(whole(1, most=10**8), AUTO),
    "min_steps": either(whole(1, most=10**9), AUTO),
    "max_minutes": number(above=0, most=10**6),
    "min_epochs": whole(1, most=10**8),
    "ensemble": whole(1, most=100),
    "batch_size": either(whole(1, most=10**6), AUTO),
    "eval_every": either(whole(1), AUTO),
    "patience": either(whole(1), NULL),
    "in_memory": either(SWITCH, AUTO),
    "init": either(text(), NULL),
    "freeze": either(whole(1), one_of("none", "body")),
    "resume": either(text(), NULL),
    "checkpoint_minutes": number(least=0),
    "checkpoint_epochs": either(whole(1), NULL),
    "checkpoint_share": number(above=0, most=1),
    "export": one_of("auto", "fp32", "int8", "none"),
    "task": one_of("train", "throughput"),
    "throughput.seconds": number(above=0, most=3600),
    "throughput.warmup_seconds": number(least=0, most=3600),
    "sweep_name": either(NULL, file_name()),
    "launcher.num_parallel": whole(1, most=1024),
    "launcher.job_timeout": either(number(above=0), NULL),
    "launcher.memory_limit_mb": either(number(above=0), NULL),
    "launcher.fail_fast": SWITCH,
    "launcher.shuffle": SWITCH,
    "launcher.repeat_first": either(SWITCH, AUTO),
    "launcher.boards": either(list_of(text()), NULL),
    "launcher.ssh_config": either(text(), NULL),
    "launcher.dask": either(text(), NULL),
    "launcher.srun": SWITCH,
    "distributed.boards": either(list_of(text()), NULL),
    "distributed.ssh_config": either(text(), NULL),
    "distributed.any_number": SWITCH,
    "distributed.sync": either(one_of("auto", "every_step", "none"), whole(2, most=10_000)),
    "distributed.timeout_seconds": number(least=1, most=86_400),
    "distributed.public_address": SWITCH,
    "split.train": either(number(above=0, below=1), NULL),
    "split.validation": FRACTION,
    "split.test": FRACTION,
    "split.folds": either(whole(2, most=10_000), one_of("groups"), NULL),
    "split.fold": either(whole(0, most=9_999), NULL),
    "split.stratify": SWITCH,
    "split.predefined": SWITCH,
    "allowed_targets": list_of(text()),
    "hardware.device": one_of("cpu", "cuda", "auto"),
    "hardware.profile": file_name(),
    "hardware.num_threads": either(whole(1, most=1024), AUTO),
    "hardware.num_interop_threads": either(whole(1, most=1024), AUTO),
    "hardware.wait_policy": one_of(None, "short", "active", "passive", "auto"),
    "hardware.flush_denormals": either(SWITCH, AUTO),
    "hardware.adapt_threads": SWITCH,
    "hardware.engine": one_of("auto", "native", "plain"),
    "hardware.memory_budget_mb": either(whole(1, most=10**9), NULL, AUTO),
    "hardware.thermal.policy": one_of("pause", "drop_thread", "none", "auto"),
    "hardware.thermal.pause_above_c": either(number(above=0, most=150), AUTO),
    "hardware.thermal.resume_below_c": either(number(above=0, most=150), AUTO),
    "hardware.thermal.max_wait_minutes": either(number(least=0, most=10**6), AUTO),
    "hardware.readings.root": text(),
    "hardware.readings.vcgencmd": text(),
    "hardware.readings.every_seconds": number(least=0.01, most=3600),
}

MISSING = one_of("error", "interpolate", "zero")
NORMALISE = one_of("auto", "channel", "case", "both", "none")
ARRAYS = {
    "path": text(),
    "data": text(),
    "label": text(),
    "groups": either(text(), NULL),
    "part": either(text(), NULL),
    "channels": one_of("first", "last", "one", None),
    "channel_names": either(list_of(text()), NULL),
    "rate": either(number(above=0, most=1e9), NULL),
    "leave_out": list_of(either(text(), whole(-(2**62)))),
    "missing": MISSING,
    "normalise": NORMALISE,
}
TABLES = {
    "path": text(),
    "files": either(text(), list_of(text()), NULL),
    "label_column": either(COLUMN, NULL),
    "group_column": either(COLUMN, NULL),
    "part_column": either(COLUMN, NULL),
    "leave_out": list_of(either(text(), whole(-(2**62)))),
    "skip_lines": whole(0, most=100_000),
    "missing": MISSING,
    "normalise": NORMALISE,
}
MADE = {
    "num_cases": whole(2),
    "num_channels": whole(1),
    "length": whole(8),
    "num_classes": whole(2),
    "normalise": NORMALISE,
    "seed": whole(0, most=2**32 - 1),
}
WIDTH = {"width": whole(1, most=1024)}
SCALED = {"width_mult": number(least=0.05, most=10), "num_downsamples": either(whole(0), AUTO)}
DROPPING = SCALED | {"dropout": FRACTION}
BANDS = {
    "low": number(least=0, most=1e9),
    "high": either(number(above=0, most=1e9), NULL),
    "floor": number(above=0, most=1),
}
ROCKET = {"max_dilations": whole(1, most=1000), "max_ridge_cases": whole(0, most=20_000)}

# By _target_; a name of torch's by the package that it comes from.
COMPONENT_RULES: dict[str, dict[str, Rule]] = {
    "raspitrain.data.arrays.npy": ARRAYS,
    "raspitrain.data.arrays.npz": ARRAYS,
    "raspitrain.data.rows.rows": TABLES | {"interleaved": either(whole(1, most=10_000), NULL)},
    "raspitrain.data.recordings.recordings": TABLES
    | {
        "length": span(8),
        "stride": either(span(1), NULL),
        "columns": either(COLUMN, list_of(COLUMN), NULL),
        "time_column": either(COLUMN, one_of(False), NULL),
        "sensor_column": either(COLUMN, list_of(COLUMN), one_of(False), NULL),
        "time_unit": one_of("d", "h", "min", "s", "ms", "us", "100ns", "ns", "dmy", "mdy", None),
        "rate": either(number(above=0, most=1e9), NULL),
        "class_level": either(whole(-1, most=100), NULL),
        "class_part": either(text(), whole(-100, most=100), NULL),
        "sensor_part": either(text(), NULL),
        "annotations": either(text(), one_of(False), NULL),
        "annotation_unit": one_of(*UNITS, None),
        "cache_gb": number(least=0),
        "blocks": either(whole(2, most=10_000), NULL),
        "groups": either(text(), whole(-100, most=100), NULL),
    },
    "raspitrain.data.ucr.ucr": {
        "name": either(text(), NULL),
        "path": either(text(), NULL),
        "unequal": one_of("pad", "resample"),
        "length": either(whole(8), NULL),
        "missing": MISSING,
        "normalise": NORMALISE,
    },
    "raspitrain.data.synthetic.random": MADE,
    "raspitrain.data.synthetic.synthetic": MADE | {"noise": number(least=0, most=1000)},
    "raspitrain.model.mobilenetv3.mobilenetv3": DROPPING
    | {
        "table": one_of("small", "large"),
        "variant": one_of("paper", "blog"),
        "batchnorm_momentum": number(above=0, most=1),
        "batchnorm_eps": number(above=0, most=1),
        "engine": one_of("auto", "native", "torch", "plain"),
    },
    "raspitrain.model.mobilenetv1.MobileNetV1": SCALED,
    "raspitrain.model.mobilenetv2.MobileNetV2": DROPPING,
    "raspitrain.model.mnasnet.MnasNet": DROPPING | {"table": one_of("a1", "b1")},
    "raspitrain.model.shufflenetv1.ShuffleNetV1": SCALED | {"groups": one_of(1, 2, 3, 4, 8)},
    "raspitrain.model.shufflenetv2.ShuffleNetV2": SCALED,
    "raspitrain.model.squeezenet.SqueezeNet": DROPPING
    | {"table": one_of("v1_0", "v1_1"), "batchnorm": SWITCH},
    "raspitrain.model.googlenet.GoogLeNet": DROPPING | {"batchnorm": SWITCH},
    "raspitrain.model.alexnet.AlexNet": DROPPING | {"batchnorm": SWITCH},
    "raspitrain.model.vgg.VGG": DROPPING | {"depth": one_of(11, 13, 16, 19), "batchnorm": SWITCH},
    "raspitrain.model.lenet.LeNet": SCALED,
    "raspitrain.model.densenet.DenseNet": {
        "depth": one_of(121, 169, 201),
        "growth_rate": whole(1, most=1024),
        "num_downsamples": either(whole(0), AUTO),
    },
    "raspitrain.model.fcn.FCN": WIDTH,
    "raspitrain.model.resnet.ResNet": WIDTH,
    "raspitrain.model.lite.LITE": WIDTH,
    "raspitrain.model.inceptiontime.InceptionTime": WIDTH
    | {"depth": whole(1, most=1000), "kernel": whole(4, most=1000)},
    "raspitrain.model.rocket.minirocket.minirocket": ROCKET
    | {"num_features": whole(84, most=10**6)},
    "raspitrain.model.rocket.multirocket_hydra.multirocket_hydra": ROCKET
    | {"num_features": whole(672, most=10**6), "num_groups": whole(2, most=4096)},
    "raspitrain.data.frontend.logmel": BANDS
    | {"window": span(8), "hop": span(1), "bands": whole(1, most=1024)},
    "raspitrain.data.frontend.spectrum": BANDS
    | {
        "window": either(span(8), AUTO),
        "hop": either(span(1), AUTO),
        "bands": either(whole(1, most=1024), AUTO),
    },
    "raspitrain.data.augment.standard": {
        "strength": either(number(least=0, most=100), AUTO),
        "scale": number(least=0),
        "jitter": number(least=0),
        "shift": FRACTION,
    },
    "torch.optim": {
        "lr": number(above=0),
        "momentum": FRACTION,
        "nesterov": SWITCH,
        "betas": list_of(FRACTION, size=2),
        "eps": number(above=0),
        "weight_decay": number(least=0, most=1000),
        "fused": SWITCH,
    },
    "raspitrain.training.schedule.cosine": {"warmup": FRACTION, "end": number(least=0, most=1)},
    "raspitrain.training.schedule.onecycle": {
        "warmup": FRACTION,
        "start": number(above=0, most=1),
        "end": number(least=0, most=1),
    },
    "raspitrain.training.loss.cross_entropy": {
        "label_smoothing": FRACTION,
        "class_weights": one_of(None, "balanced"),
    },
}


COMPONENTS = ("dataset", "frontend", "model", "optimizer", "schedule", "loss", "augment")
OPTIONAL = ("tracker",)  # a component, too, where there is one
SECTIONS = ("split", "hardware", "throughput", "launcher", "distributed")


# What may be given anew for a run that is resumed, as no weight depends on it; with threads the
# bits do, and it is said.
HARMLESS = {
    "epochs",
    "patience",
    "in_memory",
    "checkpoint_minutes",
    "checkpoint_epochs",
    "checkpoint_share",
    "dataset.path",  # the data themselves are compared
    "dataset.annotations",
    "distributed.any_number",
    "distributed.timeout_seconds",
    "distributed.public_address",
    "allowed_targets",
}
HARMLESS_SECTIONS = ("hardware", "tracker")
BITS = {"hardware.device", "hardware.engine", "hardware.flush_denormals"}  # of these sections


def is_harmless(key: str) -> bool:
    """Whether the weights of a run do not depend on this key, in dots."""
    return key in HARMLESS or (key.split(".")[0] in HARMLESS_SECTIONS and key not in BITS)


def check(config: Mapping[str, Any]) -> None:
    """Hold a composed and resolved configuration against the rules.

    Parameters
    ----------
    config : plain nested dicts and lists, "???" where a value is still missing

    Raises
    ------
    InputError : names the first key that will not do, its value, and what would.
    """
    _check_sections(config)
    rules = rules_of(config)
    for key, value in leaves(config):
        rule = rules.get(key)
        if rule is None and key.split(".")[0] in SECTIONS:
            hint = did_you_mean(key, rules) or "."
            raise InputError(f"{key} is not a key of this configuration{hint}")
        if isinstance(value, str) and value == "???":
            right = f" {rule.right}" if rule else " a value"
            raise InputError(f"{key} is not given: add {key}=... to the command ({right.strip()}).")
        if rule is not None and not rule.allows(value):
            raise InputError(
                f"{key} must be {rule.right}, not {_shown(value)}{_hint(key, rule, value)}."
            )
    _check_together(config)


def rules_of(config: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules of this configuration's keys: those of every run and of its own components."""
    rules = dict(RULES)
    for group in (*COMPONENTS, *OPTIONAL):
        node = config.get(group)
        target = node.get("_target_") if isinstance(node, Mapping) else None
        if target in config["allowed_targets"]:
            continue  # the user's own component, with keys of its own
        name = "torch.optim" if str(target).startswith("torch.optim.") else str(target)
        rules |= {f"{group}.{key}": rule for key, rule in COMPONENT_RULES.get(name, {}).items()}
    return rules


def _check_sections(config: Mapping[str, Any]) -> None:
    """Whatever was deleted or replaced: the sections and keys that every run reads are there."""
    for name in (*COMPONENTS, *(name for name in OPTIONAL if config.get(name) is not None)):
        if not isinstance(config.get(name), Mapping) or "_target_" not in config[name]:
            raise InputError(
                f"{name} must be a group with a _target_, not {_shown(config.get(name))}: choose "
                f"one with {name}=... (--help lists them)."
            )
    for name in SECTIONS:
        if not isinstance(config.get(name), Mapping):
            keys = [key for key in RULES if key.startswith(f"{name}.")]
            raise InputError(
                f"{name} must be a group of keys, not {_shown(config.get(name))}: set one by one, "
                f"as {', '.join(keys[:4])}."
            )
    known = {*COMPONENTS, *OPTIONAL, *(key.split(".")[0] for key in RULES)}
    for name in config:
        if name == "experiment":
            raise InputError(
                "experiment: the file sets nothing: it has no keys, or they land under experiment; "
                "begin it with the line # @package _global_"
            )
        if name not in known:
            hint = did_you_mean(str(name), known) or "; --cfg job shows all keys."
            raise InputError(f"{name} is not a key of this configuration{hint}")
    there = {key for key, _ in leaves(config)}
    for key in RULES:
        if key not in there:
            value: Any = config
            for name in key.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None:
                raise InputError(f"{key} must be {RULES[key].right}, not {_shown(value)}.")
            raise InputError(f"{key} is missing: every run needs it ({RULES[key].right}).")
    rule = RULES["allowed_targets"]
    if not rule.allows(config["allowed_targets"]):
        value = _shown(config["allowed_targets"])
        raise InputError(f"allowed_targets must be {rule.right}, not {value}.")


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key in dots with its value; a list or an empty group is a value."""
    for name, value in config.items():
        key = f"{prefix}{name}"  # a YAML key may be a number
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def _check_together(config: Mapping[str, Any]) -> None:
    split = config["split"]
    total = sum(split[part] or 0 for part in ("train", "validation", "test"))
    if total > 1 + 1e-9 or (split["train"] is None and total >= 1):
        raise InputError(
            f"split.train, split.validation and split.test add up to {total:g}: they are "
            "fractions of one set and must leave something to train on."
        )
    if config["ensemble"] > 1 and config["init"] is not None:
        raise InputError(
            f"ensemble={config['ensemble']} trains networks that begin at different weights, and "
            "init=RUN would give all of them the same: leave out one of the two."
        )
    if config["freeze"] != "none" and config["init"] is None:
        raise InputError(f"freeze={config['freeze']} is about trained weights: add init=RUN.")
    folds, fold = split["folds"], split["fold"]
    if folds is not None and fold is None:
        raise InputError(
            f"split.folds={folds} is for a sweep over the folds: add --multirun sweep=folds, or "
            "take one of them with split.fold=0."
        )
    if fold is not None and (folds is None or (folds != "groups" and fold >= folds)):
        raise InputError(
            f"split.fold={fold} is one of split.folds, counted from 0: add split.folds=5."
            if folds is None
            else f"split.fold={fold}: of {folds} folds the last is {folds - 1}."
        )
    if config["patience"] is not None and not split["validation"]:
        raise InputError(
            "patience waits for a better validation accuracy: add split.validation=0.15."
        )
    optimizer = config.get("optimizer")
    if (
        isinstance(optimizer, Mapping)
        and optimizer.get("nesterov")
        and not optimizer.get("momentum")
    ):
        raise InputError("optimizer.nesterov=true needs optimizer.momentum above 0.")
    hardware = config.get("hardware")
    if isinstance(hardware, Mapping):
        _check_hardware(hardware)


def _check_hardware(hardware: Mapping[str, Any]) -> None:
    thermal = hardware.get("thermal")
    drops = isinstance(thermal, Mapping) and thermal.get("policy") == "drop_thread"
    if drops and hardware.get("adapt_threads"):
        raise InputError(
            "hardware.thermal.policy=drop_thread and hardware.adapt_threads=true do not go "
            "together: both decide how many threads there are."
        )


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    word = repr(value)
    return word if len(word) <= 60 else word[:57] + "…"


def _read(words: list[Any]) -> list[Any]:
    """Numbers where the words are some."""
    read: list[Any] = []
    for word in words:
        number = isinstance(word, str) and re.fullmatch(r"\s*[+-]?\d+(\.\d*)?(e-?\d+)?\s*", word)
        text = word.strip() if isinstance(word, str) else word
        read.append((float(text) if "." in text or "e" in text else int(text)) if number else text)
    return read


def _hint(key: str, rule: Rule, value: Any) -> str:
    if key == "dataset.path" and isinstance(value, int | float):
        return " (a name that reads like a number or like true needs ./ in front, as ./2024)"
    if rule.allows([value]):
        return f" (write it as a list, {key}=[{value}])"
    if isinstance(value, list) and any(isinstance(entry, bool) for entry in value):
        return " (yes, no, on and off are true and false in YAML: write 'yes' in quotes)"
    if isinstance(value, bool) and rule.allows("yes"):
        return " (yes, no, on, off, true and false are no text in YAML: write 'yes' in quotes)"
    if isinstance(value, int | float) and rule.allows(str(value)):
        return f" (in quotes it is a text: '{key}=\"{value}\"')"
    if isinstance(value, float) and value.is_integer() and rule.allows(int(value)):
        return f" (write {int(value)})"
    if isinstance(value, str) and value.strip() and rule.allows(_read([value])[0]):
        return " (a text: leave out its quotes; of a variable, ${oc.decode:${oc.env:NAME}})"
    if rule is FRACTION or key == "split.test":
        share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", str(value))
        if share and 1 <= float(share[1]) < 100:
            return f" (a part of 1, so {float(share[1]):g} % is {float(share[1]) / 100:g})"
    several = value.split(",") if isinstance(value, str) else value
    if key == "dataset.path" and isinstance(value, list):
        return ' (one folder, in which others may lie as links: ln -s "$PWD/OTHER" FOLDER)'
    if isinstance(value, str | list) and len(several) > 1 and all(map(rule.allows, _read(several))):
        return (
            " (several values are for a sweep: on the command line with --multirun, or below "
            "hydra.sweeper.params in a YAML)"
        )
    meant = "cuda" if value == "gpu" else str(value)
    near = difflib.get_close_matches(meant, rule.right.split(" or "), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
