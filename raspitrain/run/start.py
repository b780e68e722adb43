"""A run that starts from trained weights: init=RUN, and freeze= for what of them stays.

The weights are those of the run's best evaluation. What normalises the signals stays as it was for
them: they expect signals so scaled, and a few new cases would measure it badly. Where the classes
are others the last layer begins anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from raspitrain.config.rules import leaves
from raspitrain.data.cases import Cases
from raspitrain.data.normalise import Normalisation, fit_normalisation
from raspitrain.data.split import Split
from raspitrain.errors import InputError
from raspitrain.model.engine.choose import engine_of, set_engine
from raspitrain.paths import absolute, config_folder, expanded, options_of
from raspitrain.run.network import build_model
from raspitrain.run.stored import StoredRun, unfit
from raspitrain.training.closed_form import ClosedForm
from raspitrain.training.randomness import same_random_numbers
from raspitrain.use.model_file import is_model_file

APART = 3  # times that a channel may spread more or less than in the first training, unsaid
# Of a network, what may be another without other weights.
NO_WEIGHTS = ("engine", "dropout", "batchnorm_momentum")


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes
    ----------
    record : for summary.json
    notes : sentences for the screen
    """

    record: dict[str, Any]
    notes: list[str]


def open_start(init: str) -> StoredRun:
    """The checkpoint that `init` names: the best of a run's folder, or a file."""
    path = expanded(init)
    if path.is_dir():
        return StoredRun.open(path)
    if is_model_file(path):
        raise InputError(
            f"init={init} is a model file, whose weights are folded for use: give the folder of "
            "the run that it comes from, or its best.pt."
        )
    return StoredRun.of_checkpoint(path)


def check_frontend(stored: StoredRun, cfg: DictConfig) -> None:
    """InputError where the weights have seen signals through another front end than asked for."""
    theirs, own = (dict(c.get("frontend") or {}) for c in (stored.config, cfg))
    if theirs != own:
        names = [str(each.get("_target_", "none")).rsplit(".", 1)[-1] for each in (theirs, own)]
        what = f"frontend={names[0]}" if names[0] != names[1] else "other values of frontend"
        raise InputError(
            f"init={stored.path.parent} was trained with {what}, which its weights take for "
            f"granted: give the same front end (here it is {names[1]})."
        )


def kept_normalisation(
    stored: StoredRun, cases: Cases, split: Split
) -> tuple[Normalisation, list[str]]:
    """The normalisation of the first training for these cases, and what is to be said of it.

    Raises
    ------
    InputError
        The channels are others.
    """
    names, own = cases.channel_names, stored.channel_names
    known = not any(name.startswith("channel_") for name in (*names, *own))  # given by nobody
    if len(names) != len(own) or (known and names != own):
        raise InputError(
            f"init={stored.path.parent} was trained on the channels {', '.join(own[:12])}, and the "
            f"data have {', '.join(names[:12])}: they must be the same, in the same order."
        )
    kept = stored.normalisation
    here = fit_normalisation(cases.signals, split.train, "channel", kept.frontend)
    notes = ["signals are normalised as in the first training (init)"]
    if kept.kind == "channel":
        for name, now, before, is_constant in zip(
            here.seen_names(names), here.std, kept.std, here.constant, strict=True
        ):
            if not is_constant and not 1 / APART <= now / before <= APART:
                notes.append(
                    f"channel {name} spreads {now / before:.3g} times as much as in the first "
                    "training: is it in the same unit?"
                )
    if stored.has_other_rate(cases):
        notes.append(
            f"the data have {cases.rate:g} samples a second, and the first training had "
            f"{stored.rate:g}: its weights know other frequencies"
        )
    if cases.signals.shape[2] != stored.length:
        notes.append(
            f"cases have {cases.signals.shape[2]} samples, and had {stored.length} in the first "
            "training"
        )
    return replace(kept, constant=here.constant), notes


def load_start(
    model: nn.Module, stored: StoredRun, cfg: DictConfig, facts: Mapping[str, Any], cases: Cases
) -> Start:
    """Put the weights into `model`, all but those of the last layer where the classes are others.

    Raises
    ------
    InputError
        They are those of another network, or it has none to start from.
    """
    where = f"init={stored.path.parent if stored.path.name == 'best.pt' else stored.path}"
    if isinstance(model, ClosedForm):
        raise InputError(
            f"{where}: model ({cfg.model._target_}) is fitted in one step and starts from nothing; "
            "leave out init."
        )
    networks = [stored.config.get("ensemble", 1), cfg.ensemble]
    if networks[0] != networks[1]:
        raise InputError(
            f"{where} is an ensemble of {networks[0]} networks, and init starts one network: give "
            "a run that was trained with ensemble=1."
        )
    head = last_layer(cfg, facts)
    new, old = model.state_dict(), stored.state["model"]
    same_classes = stored.class_names == cases.class_names
    taken = [name for name in new if same_classes or name not in head]
    if not isinstance(old, Mapping) or not all(isinstance(old.get(n, 0), Tensor) for n in old):
        raise unfit(stored.path)
    if set(old) != set(new) or any(old[name].shape != new[name].shape for name in taken):
        raise InputError(f"{where} holds another network: {_difference(stored, cfg)}.")
    if not all(torch.isfinite(old[name]).all() for name in taken if old[name].is_floating_point()):
        raise InputError(f"{where} holds weights that are not finite: its training diverged.")
    model.load_state_dict({**new, **{name: old[name] for name in taken}})
    epoch = stored.state.get("epoch")
    notes = [f"starts from the weights of epoch {epoch} of {stored.path}"]
    if stored.note:
        notes.append(stored.note)
    if not same_classes:
        notes.append(
            f"the classes are {_named(cases.class_names)} and were {_named(stored.class_names)}: "
            f"the last layer ({', '.join(head)}) begins anew"
        )
    record = {
        "checkpoint": str(absolute(stored.path)),
        "epoch": epoch,
        "step": stored.state.get("step"),
        "new": [] if same_classes else list(head),
        "normalisation": "kept",
    }
    return Start(record, notes)


def last_layer(cfg: DictConfig, facts: Mapping[str, Any]) -> list[str]:
    """Names in the network's state of all that has another shape where there is one class more."""
    facts = {name: value for name, value in facts.items() if name != "train_labels"}
    more = facts | {"num_classes": facts["num_classes"] + 1}
    with same_random_numbers():
        here, there = (build_model(cfg, each).state_dict() for each in (facts, more))
    return [name for name, value in here.items() if there[name].shape != value.shape]


def freeze(
    model: nn.Module, how: str | int, cfg: DictConfig, facts: Mapping[str, Any]
) -> list[nn.Module]:
    """Keep weights as they are: those of the body, or of the first layers.

    Parameters
    ----------
    how : "none"; "body" for all but the last layer; or how many layers from the first on: those
        with weights, convolutions and linear ones, each with what normalises it

    Returns
    -------
    list of nn.Module
        Batch normalisations that must stay in evaluation mode.
    """
    if how == "none":
        return []
    layers = _layers(model)
    if how == "body":
        head = {name.rpartition(".")[0] for name in last_layer(cfg, facts)}
        frozen = [module for names in layers for module in names if module not in head]
    else:
        if not isinstance(how, int) or how >= len(layers):
            raise InputError(
                f"freeze={how} leaves nothing to train: the network has {len(layers)} layers with "
                f"weights; give at most {len(layers) - 1}, or body."
            )
        frozen = [module for names in layers[:how] for module in names]
    norms: list[nn.Module] = []
    for name in frozen:
        module = model.get_submodule(name)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if isinstance(module, _NormBase):
            norms.append(module)
    if norms and engine_of(model) == "auto":
        set_engine(model, "torch")  # the kernels know no layer that stays as it is
    return norms


def frozen_record(model: nn.Module, how: str | int) -> dict[str, Any]:
    """What was frozen, for summary.json."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {"freeze": how, "num_trained_parameters": trained}


def _layers(model: nn.Module) -> list[list[str]]:
    """Modules with parameters of their own, in order; each layer begins with one that has weights,
    and what only scales and shifts belongs to the one before."""
    layers: list[list[str]] = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if not own:
            continue
        if any(parameter.ndim > 1 for parameter in own) or not layers:
            layers.append([])
        layers[-1].append(name)
    return layers


def _difference(stored: StoredRun, cfg: DictConfig) -> str:
    """What to give so that the network is the stored one, in words."""
    own: Any = OmegaConf.to_container(stored.config.model, resolve=True)
    now: Any = OmegaConf.to_container(cfg.model, resolve=True)
    if own.get("_target_") != now.get("_target_"):
        made_by = str(own.get("_target_"))
        options = [
            name
            for name in options_of("model")
            if f"_target_: {made_by}\n" in (config_folder() / "model" / f"{name}.yaml").read_text()
        ]
        return f"give its model, model={' or '.join(options) or made_by}"
    others = dict(leaves(now))
    words = [
        f"model.{key}={value}"
        for key, value in leaves(own)
        if others.get(key) != value and key not in NO_WEIGHTS
    ]
    if words:
        return f"its model has {', '.join(words)}"
    return "its layers have other shapes, as cases were of another length"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
