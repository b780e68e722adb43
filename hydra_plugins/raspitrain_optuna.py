"""hydra/sweeper=optuna: Hydra's side of a search; what is drawn and judged is in
raspitrain/sweep/search.py. Nothing of Optuna is imported before a search begins.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from hydra_plugins._sweeper import LaunchingSweeper
from raspitrain.cli.words import every_key
from raspitrain.config.overrides import check_given_once
from raspitrain.errors import InputError, visible
from raspitrain.report import report_sweep_or_warn

MOST_VALUES = 1_000  # of one key that lists them
MOST_COMPOSED = 50  # configurations that are tried before the first job


class OptunaSweeper(LaunchingSweeper):
    """Jobs whose values are drawn one after another, from what the earlier ones came to.

    Parameters
    ----------
    params : as LaunchingSweeper's
    settings : see conf/hydra/sweeper/optuna.yaml
    """

    def __init__(self, params: Mapping[str, Any] | None, **settings: Any) -> None:
        super().__init__(params)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        # Not at the top: Hydra makes each module of this folder anew when it looks through them.
        from hydra_plugins.raspitrain_sweep import ProcessLauncher

        launcher = self.launcher
        if not isinstance(launcher, ProcessLauncher):
            raise InputError("hydra/sweeper=optuna needs hydra/launcher=raspitrain.")
        if importlib.util.find_spec("optuna") is None:
            raise InputError(
                "hydra/sweeper=optuna needs the package optuna: .venv/bin/pip install "
                "-c constraints.txt optuna."
            )
        from raspitrain.sweep.search import Search, check_settings

        plain = OmegaConf.to_container(OmegaConf.create(self.settings), resolve=True)
        assert isinstance(plain, dict)
        settings = check_settings({str(key): value for key, value in plain.items()})
        fixed, space = self._space(arguments)
        cfg = self._compose(fixed)
        _check_objectives(cfg, settings["objective"], space)

        for drawn in _each_value_once(space):
            launcher.compose([*drawn, *fixed])  # a mistake is said now, not after an hour

        launcher.swept = [key.lstrip("+") for key in space]
        launcher.begin(cfg, num_jobs=settings["n_trials"])
        search = Search(launcher.folder, space, fixed, settings)

        def ask() -> tuple[int, list[str]] | None:
            trial = search.ask()
            return None if trial is None else (trial.number, [*search.words(trial), *fixed])

        returns = launcher.launch_one_by_one(
            ask, search.tell, search.poll, num_told=search.num_done
        )
        try:
            if returns:
                launcher.finish()
            else:
                report_sweep_or_warn(launcher.folder)
        finally:
            print("\n".join(["", *map(visible, search.lines())]))
        return returns

    def _compose(self, words: Sequence[str]) -> DictConfig:
        """What all jobs share; whether it is whole each job's own configuration will show."""
        assert self.hydra_context is not None
        assert self.config is not None
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(words))

    def _space(self, arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
        """The overrides that stay, and what the others are to be drawn from."""
        from hydra_plugins.raspitrain_sweep import NOT_SWEPT

        assert self.hydra_context is not None
        check_given_once(arguments)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        fixed: dict[str, str] = {}
        space: dict[str, Any] = {}
        for override in [*self.preset(parser), *parser.parse_overrides(arguments)]:
            key = override.get_key_element()
            name = key.lstrip("+~")
            fixed.pop(name, None)  # what is typed comes after a preset
            for known in [k for k in space if k.lstrip("+~") == name]:
                del space[known]
            if not override.is_sweep_override():
                fixed[name] = str(override.input_line)
            elif name.split(".")[0] in NOT_SWEPT:
                raise InputError(f"{name} is one for the whole search: give it one value.")
            else:
                space[key] = _values(override)
        if not space:
            raise InputError(
                "Nothing is searched: give a key several values, as in optimizer=adam,sgd or "
                "'optimizer.lr=tag(log,interval(1e-4,1e-1))'."
            )
        return list(fixed.values()), space


def _each_value_once(space: Mapping[str, Any]) -> list[list[str]]:
    """Words of as few jobs as show every word of the space, and both ends of its numbers."""
    from raspitrain.sweep.search import Choice, shown

    values = {
        key: list(v.words) if isinstance(v, Choice) else [shown(v.low), shown(v.high)]
        for key, v in space.items()
    }
    most = min(max(map(len, values.values())), MOST_COMPOSED)
    return [[f"{key}={v[k % len(v)]}" for key, v in values.items()] for k in range(most)]


def _values(override: Override) -> Any:
    """What a key's values are drawn from.

    Raises
    ------
    InputError : from nothing, or with a logarithm of zero.
    """
    from raspitrain.sweep.search import Choice, Numbers

    given, value = override.input_line, override.value()
    log = isinstance(value, ChoiceSweep | RangeSweep | IntervalSweep) and "log" in value.tags
    if isinstance(value, IntervalSweep) or (isinstance(value, RangeSweep) and log):
        low, high = value.start, value.end if isinstance(value, IntervalSweep) else value.stop
        assert low is not None
        assert high is not None
        whole = isinstance(low, int) and isinstance(high, int)
        if isinstance(value, RangeSweep):
            if not whole or value.step != 1:
                raise InputError(f"{given}: a range with the tag log has whole numbers and step 1.")
            high -= 1  # a range ends before its end
        if not low < high:
            raise InputError(f"{given}: the second number must be above the first.")
        if log and low <= 0:
            raise InputError(f"{given}: with the tag log the numbers must be above 0.")
        rule = every_key().get(override.get_key_element().lstrip("+~"))
        if not whole and rule is not None and not rule.allows(low + (high - low) / math.pi):
            raise InputError(
                f"{given} draws any number, but {override.get_key_element()} must be "
                f"{rule.right}: write int(interval({low:g},{high:g}))."
            )
        return Numbers(low, high, None, log, whole)
    words = list(dict.fromkeys(str(word) for word in override.sweep_string_iterator()))
    if not words or len(words) > MOST_VALUES:
        raise InputError(f"{given} gives {len(words) or 'no'} values: give 1 to {MOST_VALUES}.")
    if isinstance(value, RangeSweep) and len(words) > 1:
        low, high = float(words[0]), float(words[-1])
        step = round(float(words[1]) - low, 12)
        if step > 0:
            whole = all(isinstance(n, int) for n in (value.start, value.step))
            return Numbers(low, high, step, False, whole)
    return Choice(tuple(words))


def _check_objectives(cfg: DictConfig, objectives: Sequence[str], space: Mapping[str, Any]) -> None:
    """What can be known before the first job: whether there will be such a figure."""
    for name in objectives:
        if not name.startswith(("validation_", "best.validation_")):
            continue
        if cfg.task == "throughput":
            raise InputError(
                f"{name} is not measured with task=throughput: add "
                "hydra.sweeper.objective=samples_per_second."
            )
        if not cfg.split.validation and "split.validation" not in space:
            raise InputError(f"{name} needs a validation part: add split.validation=0.15.")
