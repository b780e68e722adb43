"""Configurations that an earlier version left in a run's folder, in this version's words."""

from collections.abc import Mapping
from typing import Any

from raspitrain.errors import InputError

STANDARD_AUGMENT = "raspitrain.data.augment.standard"
MOBILENETV3 = "raspitrain.model.mobilenetv3.mobilenetv3"
# Of a data set, since 0.1, with what does nothing.
_OF_ARRAYS: dict[str, Any] = {
    "channels": "first",
    "channel_names": None,
    "rate": None,
    "leave_out": [],
}
NEW_KEYS = {
    "raspitrain.data.arrays.npy": _OF_ARRAYS,
    "raspitrain.data.arrays.npz": _OF_ARRAYS,
    "raspitrain.data.recordings.recordings": {
        "cache_gb": 0,
        "annotations": False,
        "annotation_unit": None,
        "class_part": None,
        "sensor_column": None,
        "sensor_part": None,
        "part_column": None,
        "blocks": None,
    },
    "raspitrain.data.rows.rows": {"part_column": None},
}
# What 0.1 had in place of model.variant.
FLAGS = {
    "paper": {
        "bias": False,
        "always_expand": False,
        "project_activation": False,
        "relu6": False,
        "se_reduction": 4,
        "skip_batchnorm_at_length_1": False,
        "conv_classifier": False,
        "logits_activation": False,
    },
    "blog": {
        "bias": True,
        "always_expand": True,
        "project_activation": True,
        "relu6": True,
        "se_reduction": 1,
        "skip_batchnorm_at_length_1": True,
        "conv_classifier": True,
        "logits_activation": True,
    },
}


def from_older(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's stored configuration as this version would have written it.

    Raises
    ------
    InputError
        The run uses what there is no more; says which version has it.
    """
    # 0.1 wrote no model.rpt, and its min_steps was a number.
    config = {
        "export": "none",
        "max_minutes": 1,
        "init": None,
        "freeze": "none",
        "ensemble": 1,
        "frontend": {"_target_": "raspitrain.data.frontend.none"},
        "distributed": {"sync": "none", "timeout_seconds": 25, "public_address": False},
        **config,
    }
    if isinstance(config["distributed"], Mapping):
        new = {"boards": None, "ssh_config": None, "any_number": False}
        config["distributed"] = {**new, **config["distributed"]}
    dataset = config.get("dataset")
    if isinstance(dataset, Mapping) and dataset.get("_target_") in NEW_KEYS:
        config["dataset"] = {**NEW_KEYS[dataset["_target_"]], **dataset}
    augment = config.get("augment")
    if isinstance(augment, Mapping) and augment.get("_target_") == STANDARD_AUGMENT:
        config["augment"] = {"strength": 1.0, **augment}
    if isinstance(config.get("split"), Mapping):
        config["split"] = {"folds": None, "fold": None, **config["split"]}
    if isinstance(config.get("launcher"), Mapping):
        config["launcher"] = {
            "boards": None,
            "ssh_config": None,
            "dask": None,
            "srun": False,
            **config["launcher"],
        }
    hardware = config.get("hardware")
    if isinstance(hardware, Mapping) and "compile" in hardware:
        if hardware["compile"] is True:
            raise InputError(_gone("hardware.compile=true"))
        hardware = {key: hardware[key] for key in hardware if key != "compile"}
    if isinstance(hardware, Mapping):
        config["hardware"] = {"engine": "auto", **hardware}
    model = config.get("model")
    if isinstance(model, Mapping) and model.get("_target_") == MOBILENETV3:
        config["model"] = _with_variant(model)
    return config


def _with_variant(model: Mapping[str, Any]) -> Mapping[str, Any]:
    flags = {key: model[key] for key in FLAGS["paper"] if key in model}
    if not flags:
        return model
    table, _, blog = str(model.get("table")).partition("_")
    variant = blog or "paper"
    if flags != FLAGS.get(variant):
        odd = {k: v for k, v in flags.items() if FLAGS.get(variant, {}).get(k) != v}
        raise InputError(_gone(", ".join(f"model.{key}={value}" for key, value in odd.items())))
    rest = {key: value for key, value in model.items() if key not in flags}
    return rest | {"table": table, "variant": variant}


def _gone(what: str) -> str:
    return f"{what} is no longer supported: use raspitrain 0.1 for this run."
