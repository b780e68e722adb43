"""What each key of the configuration may be, checked before anything heavy is imported.

The values themselves stand in conf/; here stands only which values make sense.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raspitrain.config.nearest import did_you_mean
from raspitrain.errors import InputError


@dataclass(frozen=True)
class Rule:
    """`allows` says whether a value will do; `right` says in words what would."""

    allows: Callable[[Any], bool]
    right: str


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(least: int, *, most: int | None = None) -> Rule:
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    return Rule(
        lambda v: _is_whole(v) and v >= least and (most is None or v <= most),
        f"a whole number {bounds}",
    )


def number(
    *, least: float | None = None, above: float | None = None, below: float | None = None,
    most: float | None = None,
) -> Rule:  # fmt: skip
    limits = [("at least", least), ("above", above), ("below", below), ("at most", most)]
    words = " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
    return Rule(
        lambda v: (
            _is_number(v)
            and (least is None or v >= least)
            and (above is None or v > above)
            and (below is None or v < below)
            and (most is None or v <= most)
        ),
        f"a number {words}".strip(),
    )


def one_of(*choices: Any) -> Rule:
    def same(value: Any, choice: Any) -> bool:  # True is not 1 here
        return type(value) is type(choice) and bool(value == choice)

    words = ["null" if c is None else str(c).lower() if c in (True, False) else c for c in choices]
    return Rule(lambda v: any(same(v, c) for c in choices), " or ".join(map(str, words)))


def text() -> Rule:
    return Rule(lambda v: isinstance(v, str) and v != "", "a text")


def file_name() -> Rule:
    return Rule(
        lambda v: (
            isinstance(v, str)
            and re.fullmatch(r"[a-z0-9][\w.+=-]{0,99}", v, re.A | re.I) is not None
        ),
        "a name of letters, digits and . _ - + =",
    )


def list_of(rule: Rule, *, size: int | None = None) -> Rule:
    count = "" if size is None else f"{size} "
    return Rule(
        lambda v: (
            isinstance(v, list) and (size is None or len(v) == size) and all(map(rule.allows, v))
        ),
        f"a list of {count}values, each {rule.right}",
    )


def either(*rules: Rule) -> Rule:
    return Rule(lambda v: any(r.allows(v) for r in rules), " or ".join(r.right for r in rules))


def span(least: int) -> Rule:
    """Samples, or seconds such as 2.56s."""
    seconds = re.compile(r"\s*(\d+(\.\d*)?|\.\d+)\s*m?s\s*")
    return Rule(
        lambda v: (
            (_is_whole(v) and v >= least)
            or (isinstance(v, str) and seconds.fullmatch(v) is not None)
        ),
        f"a whole number of at least {least} or seconds such as 2.56s",
    )


SWITCH = one_of(True, False)
AUTO = one_of("auto")
NULL = one_of(None)
FRACTION = number(least=0, below=1)
COLUMN = either(text(), whole(-10_000, most=10_000))  # a name, or a position from 0

RULES: dict[str, Rule] = {
    "seed": whole(0, most=2**32 - 1),
    "epochs": either(whole(1, most=10**8), AUTO),
    "min_steps": whole(1, most=10**9),
    "min_epochs": whole(1, most=10**8),
    "batch_size": either(whole(1, most=10**6), AUTO),
    "eval_every": either(whole(1), AUTO),
    "patience": either(whole(1), NULL),
    "in_memory": either(SWITCH, AUTO),
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
    "split.train": either(number(above=0, below=1), NULL),
    "split.validation": FRACTION,
    "split.test": number(above=0, below=1),
    "split.stratify": SWITCH,
    "split.predefined": SWITCH,
    "allowed_targets": list_of(text()),
    "dataset.path": either(text(), NULL),
    "dataset.name": text(),
    "dataset.data": text(),
    "dataset.label": text(),
    "dataset.files": either(text(), list_of(text()), NULL),
    "dataset.groups": either(text(), whole(-100, most=100), NULL),
    "dataset.part": either(text(), NULL),
    "dataset.channels": one_of("first", "last", None),
    "dataset.stride": span(1),
    "dataset.columns": either(COLUMN, list_of(COLUMN), NULL),
    "dataset.time_column": either(COLUMN, one_of(False), NULL),
    "dataset.time_unit": one_of("d", "h", "min", "s", "ms", "us", "ns", None),
    "dataset.rate": either(number(above=0, most=1e9), NULL),
    "dataset.class_level": either(whole(-1, most=100), NULL),
    "dataset.label_column": either(COLUMN, NULL),
    "dataset.leave_out": list_of(either(text(), whole(-(2**62)))),
    "dataset.group_column": either(COLUMN, NULL),
    "dataset.skip_lines": whole(0, most=100_000),
    "dataset.missing": one_of("error", "interpolate", "zero"),
    "dataset.unequal": one_of("pad", "resample"),
    "dataset.num_cases": whole(2),
    "dataset.num_channels": whole(1),
    "dataset.length": either(span(8), NULL),
    "dataset.num_classes": whole(2),
    "dataset.noise": number(least=0, most=1000),
    "dataset.seed": whole(0, most=2**32 - 1),
    "model.table": one_of("small", "large", "a1", "b1", "v1_0", "v1_1"),
    "model.variant": one_of("paper", "blog"),
    "model.groups": one_of(1, 2, 3, 4, 8),
    "model.width_mult": number(least=0.05, most=10),
    "model.width": whole(1, most=1024),
    "model.depth": whole(1, most=1000),
    "model.growth_rate": whole(1, most=1024),
    "model.num_features": whole(84, most=10**6),
    "model.max_dilations": whole(1, most=1000),
    "model.num_groups": whole(2, most=4096),
    "model.max_ridge_cases": whole(0, most=20_000),
    "model.batchnorm": SWITCH,
    "model.kernel": whole(4, most=1000),
    "model.num_downsamples": either(whole(0), AUTO),
    "model.dropout": FRACTION,
    "model.batchnorm_momentum": number(above=0, most=1),
    "model.batchnorm_eps": number(above=0, most=1),
    "model.engine": one_of("auto", "native", "torch", "plain"),
    "augment.scale": number(least=0),
    "augment.jitter": number(least=0),
    "augment.shift": FRACTION,
    "optimizer.lr": number(above=0),
    "optimizer.momentum": FRACTION,
    "optimizer.nesterov": SWITCH,
    "optimizer.betas": list_of(FRACTION, size=2),
    "optimizer.eps": number(above=0),
    "optimizer.weight_decay": number(least=0, most=1000),
    "optimizer.fused": SWITCH,
    "schedule.warmup": FRACTION,
    "schedule.start": number(above=0, most=1),
    "schedule.end": number(least=0, most=1),
    "loss.label_smoothing": FRACTION,
    "loss.class_weights": one_of(None, "balanced"),
    "hardware.device": one_of("cpu", "cuda", "auto"),
    "hardware.profile": file_name(),
    "hardware.num_threads": either(whole(1, most=1024), AUTO),
    "hardware.num_interop_threads": either(whole(1, most=1024), AUTO),
    "hardware.wait_policy": one_of(None, "short", "active", "passive", "auto"),
    "hardware.flush_denormals": either(SWITCH, AUTO),
    "hardware.adapt_threads": SWITCH,
    "hardware.memory_budget_mb": either(whole(1, most=10**9), NULL, AUTO),
    "hardware.thermal.policy": one_of("pause", "drop_thread", "none", "auto"),
    "hardware.thermal.pause_above_c": either(number(above=0, most=150), AUTO),
    "hardware.thermal.resume_below_c": either(number(above=0, most=150), AUTO),
    "hardware.thermal.max_wait_minutes": either(number(least=0, most=10**6), AUTO),
    "hardware.readings.root": text(),
    "hardware.readings.vcgencmd": text(),
    "hardware.readings.every_seconds": number(least=0.01, most=3600),
}


COMPONENTS = ("dataset", "model", "optimizer", "schedule", "loss", "augment")
OPTIONAL = ("tracker",)  # a component, too, where there is one
SECTIONS = ("split", "hardware", "throughput", "launcher")


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
    own = config["allowed_targets"]
    for key, value in leaves(config):
        rule = RULES.get(key)
        group = config.get(key.split(".")[0])
        if isinstance(group, Mapping) and group.get("_target_") in own:
            rule = None  # the user's own component, with words of its own
        if rule is None and key.split(".")[0] in SECTIONS:
            hint = did_you_mean(key, RULES) or "."
            raise InputError(f"{key} is not a key of this configuration{hint}")
        if isinstance(value, str) and value == "???":
            right = f" {rule.right}" if rule else " a value"
            raise InputError(f"{key} is not given: add {key}=... to the command ({right.strip()}).")
        if rule is not None and not rule.allows(value):
            raise InputError(
                f"{key} must be {rule.right}, not {_shown(value)}{_hint(key, rule, value)}."
            )
    _check_together(config)


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
    known = {*OPTIONAL, *(key.split(".")[0] for key in RULES)}
    for name in config:
        if name == "experiment":
            raise InputError(
                "experiment: the file sets nothing, as its keys land under experiment; begin it "
                "with the line # @package _global_"
            )
        if name not in known:
            hint = did_you_mean(str(name), known) or "; --cfg job shows all keys."
            raise InputError(f"{name} is not a key of this configuration{hint}")
    there = {key for key, _ in leaves(config)}
    for key in RULES:
        if key.split(".")[0] not in COMPONENTS and key not in there:
            raise InputError(f"{key} is missing: every run needs it ({RULES[key].right}).")
    rule = RULES["allowed_targets"]
    if not rule.allows(config["allowed_targets"]):
        shown = _shown(config["allowed_targets"])
        raise InputError(f"allowed_targets must be {rule.right}, not {shown}.")


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
    dataset = config["dataset"]
    if dataset["_target_"].startswith("raspitrain.data.synthetic.") and dataset["length"] is None:
        raise InputError("dataset.length must be a whole number of at least 8, not null.")
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
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


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
    if isinstance(value, list) and any(isinstance(entry, bool) for entry in value):
        return " (yes, no, on and off are true and false in YAML: write 'yes' in quotes)"
    if isinstance(value, bool) and rule.allows("yes"):
        return " (yes, no, on, off, true and false are no text in YAML: write 'yes' in quotes)"
    if isinstance(value, int | float) and rule.allows(str(value)):
        return f" (in quotes it is a text: '{key}=\"{value}\"')"
    if isinstance(value, float) and value.is_integer() and rule.allows(int(value)):
        return f" (write {int(value)})"
    if rule is FRACTION or key == "split.test":
        share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", str(value))
        if share and 1 <= float(share[1]) < 100:
            return f" (a part of 1, so {float(share[1]):g} % is {float(share[1]) / 100:g})"
    several = value.split(",") if isinstance(value, str) else value
    if isinstance(value, str | list) and len(several) > 1 and all(map(rule.allows, _read(several))):
        return (
            " (several values are for a sweep: on the command line with --multirun, or below "
            "hydra.sweeper.params in a YAML)"
        )
    near = difflib.get_close_matches(str(value), rule.right.split(" or "), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
