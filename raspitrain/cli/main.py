"""The command line: compose with Hydra, check, run; a mistake ends in one sentence.

Exit codes: 0 finished, 1 a fault of ours (with its trace) or a sweep of which not every job
finished, 2 a mistake in what was given, 74 a card that would not take the results, 75 a state that
can pass (a full card, too little memory just now), 128 and a signal's number ended by that signal
(130 Ctrl-C, 143 SIGTERM, 129 SIGHUP), after what there was has been written.
"""

import argparse
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from raspitrain.boards import BoardsEnd
from raspitrain.cli.mistakes import known_keys, mistake
from raspitrain.cli.quick import quicken
from raspitrain.cli.ranks import is_one_of_several, join, words_for_hydra, words_of_rank
from raspitrain.cli.resume import (
    AUTO,
    asks_to_resume,
    resume_as_asked,
    resume_or_start,
    shows_only,
)
from raspitrain.cli.trust import guard
from raspitrain.cli.words import as_meant, option_as_key, path_as_words
from raspitrain.config.composition import check_composition
from raspitrain.config.overrides import given_keys
from raspitrain.config.profile import with_profile
from raspitrain.errors import InputError, UnwrittenError, printable, visible
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error, quick_imports
from raspitrain.hardware.threads import given_num_threads, thread_environment
from raspitrain.nearest import did_you_mean
from raspitrain.paths import absolute, config_folder
from raspitrain.results.folder import check_is_of_its_own, make_folder, remove_empty
from raspitrain.stop import Stopped, is_stdout_stuck, say, say_stuck, tidy, write_nowhere
from raspitrain.sweep.sweep import SweepEnd


def main(do: Callable[[DictConfig, list[str]], None] | None = None) -> int:
    """Do what sys.argv says; return the exit code. `do` takes the place of a run, and writes
    nothing."""
    # Hydra then passes its errors on instead of printing them and exiting with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    exit_code = 0
    broken: Exception | None = None

    def task(cfg: DictConfig) -> None:
        nonlocal exit_code, broken
        output_dir = Path(HydraConfig.get().runtime.output_dir)
        try:
            # As they were typed: an interpolation in them is not ours to resolve.
            typed: Any = HydraConfig.get().overrides.task
            overrides = [str(typed._get_node(k)) for k in range(len(typed))]
            try:
                _check_is_no_sweep(cfg)
                if do is None:
                    run_composed(cfg, output_dir, overrides)
                else:
                    do(cfg, overrides)
            finally:
                remove_empty(_made_by_hydra)
        except InputError as error:
            exit_code = _say(error)
        except BrokenPipeError:
            if do is None:
                raise
            write_nowhere(sys.stdout)  # here, as Hydra would call it an error
        except Exception as error:
            if do is not None and isinstance(error, OSError) and is_stdout_stuck():
                exit_code = say_stuck(error)
                return
            if is_out_of_memory(error):
                exit_code = _say(out_of_memory_error())
            else:
                broken = error  # Hydra would print a line of its own in front of the sentence

    guard(config_folder().resolve(), sys.argv[1:])
    quicken()
    Hydra.get_mode = _mode_as_typed  # type: ignore[method-assign]
    command = hydra.main(
        config_path=str(config_folder().resolve()), config_name="config", version_base="1.3"
    )(task)
    tidy.append(lambda: remove_empty(_made_by_hydra))
    try:
        if {"--version", "-V"} & set(sys.argv[1:]):
            print(f"raspitrain {version('raspitrain')}")
            return 0
        sys.argv[1:] = as_meant(sys.argv[1:])
        if not shows_only(sys.argv[1:]):
            sys.argv[1:] = words_of_rank(sys.argv[1:])
        if AUTO in sys.argv[1:]:
            words = resume_or_start(sys.argv[1:])
            if words is None:
                return 0
            sys.argv[1:] = words
        elif asks_to_resume(sys.argv[1:]):
            resume_as_asked(sys.argv[1:])
            return 0
        if not shows_only(sys.argv[1:]):
            sys.argv[1:] = words_for_hydra(sys.argv[1:])
        if do is not None and not shows_only(sys.argv[1:]):
            # Hydra makes a folder of its own for every run: here one that is there already.
            sys.argv.append(f"hydra.run.dir={os.sep}")
        parser = get_args_parser()
        parser.error = _refuse  # type: ignore[method-assign]
        sys.argv[1:] = _options_first(parser, sys.argv[1:])
        given = parser.parse_args()
        if given.experimental_rerun is not None:
            raise InputError(
                "--experimental-rerun would unpickle a file, which can run code: resume=FOLDER "
                "resumes a run, and its overrides.yaml says how it was started."
            )
        if given.package is not None:
            _check_package(given.package)
        OmegaConf.register_new_resolver(
            "first_given", lambda *values: next(v for v in values if v is not None), replace=True
        )
        with _shown_safely() if shows_only(sys.argv[1:]) else nullcontext():
            command()
        if broken is not None:
            raise broken
        if do is not None or shows_only(sys.argv[1:]):
            sys.stdout.flush()  # all that they are for; a run has its folder
    except (SweepEnd, BoardsEnd) as end:
        return int(end.code or 0)
    except Stopped as stopped:
        say("interrupted")
        return stopped.exit_code
    except SystemExit as leaving:
        # With 1 Hydra leaves only after saying what the user did wrong.
        return 2 if leaving.code == 1 else int(leaving.code or 0)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except UnwrittenError as error:
        say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        write_nowhere(sys.stdout)
        return 0
    except Exception as error:
        # Some of Hydra's are OSErrors without a number.
        if isinstance(error, OSError) and error.errno and not error.filename and is_stdout_stuck():
            return say_stuck(error)
        sentence = mistake(error, sys.argv[1:])
        if sentence is None:
            raise
        return _say(sentence)
    return exit_code


def look(words: Sequence[str], do: Callable[[DictConfig, list[str]], None]) -> int:
    """`main` for a command that looks at one data set, which may be named alone."""
    try:
        sys.argv[1:] = path_as_words(words)
    except InputError as error:
        say(f"error: {printable(str(error))}")
        return error.exit_code
    return main(do)


@contextmanager
def _shown_safely() -> Iterator[None]:
    """For what Hydra prints: names and values of files come as they are."""
    output = io.StringIO()
    try:
        with redirect_stdout(output):
            yield
    finally:
        sys.stdout.write(visible(output.getvalue(), keep="\n\t"))
        sys.stdout.flush()


_composed_mode = Hydra.get_mode


def _mode_as_typed(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """Run or sweep: Hydra would compose everything once more, to look for a hydra.mode in it."""
    if any(word.lstrip("+").startswith("hydra.mode=") for word in overrides):
        return _composed_mode(self, config_name, overrides)
    return None


def _say(error: InputError) -> int:
    """Print the error's sentence, and before it what was suspicious; return its exit code."""
    for warning in error.warnings:
        say(f"warning: {printable(warning)}")
    say(f"error: {printable(' '.join(str(error).split()))}")
    return error.exit_code


def _refuse(message: str) -> NoReturn:
    hint = option_as_key(message, sys.argv[1:]) or "; --help shows how the command is written."
    raise InputError(f"{message}{hint}")


def _options_first(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """The same words in an order that argparse reads: it takes overrides in one place only."""
    takes = {name: action for action in parser._actions for name in action.option_strings}
    options, overrides = [], []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        options.append(word)
        action = takes.get(word)
        if action is not None and action.nargs is None:
            options += itertools.islice(words, 1)
        elif action is not None and action.nargs == "?":  # --info, and perhaps of what
            following = list(itertools.islice(words, 1))
            is_its = all("=" not in each and each[:1] != "-" for each in following)
            options[-1] = f"{word}={following[0] if is_its and following else action.const}"
            words = itertools.chain([] if is_its else following, words)
    return [*options, *overrides]


def _check_package(package: str) -> None:
    """Refuse a --package that names no part of the configuration."""
    known = known_keys(sys.argv[1:])
    parts = {key.rsplit(".", depth)[0] for key in known for depth in range(key.count(".") + 1)}
    if package not in {*parts, "_global_"} and package.split(".")[0] != "hydra":
        raise InputError(
            f"--package {package}: the configuration has no such part"
            f"{did_you_mean(package, sorted(parts)) or '; --cfg job shows all of it.'}"
        )


def run_composed(cfg: DictConfig, output_dir: Path, overrides: list[str]) -> None:
    """Check the configuration, set the environment that torch reads at import, then run."""
    check_composition(cfg, overrides)
    if cfg.resume is not None:
        raise InputError("resume= stands on the command line, not in a YAML.")
    check_is_of_its_own(output_dir, "hydra.run.dir", "run")
    if cfg.distributed.boards is not None:
        from raspitrain.boards import begin

        begin(cfg, output_dir, overrides)
        return
    given_num_threads(os.environ)  # libgomp reads it too, whatever the profile says
    cfg, profile = with_profile(cfg, given_keys(overrides))
    os.environ.update(
        thread_environment(cfg.hardware.num_threads, cfg.hardware.wait_policy, os.environ)
    )

    if cfg.task == "throughput" and is_one_of_several(cfg.distributed):
        raise InputError(
            "task=throughput measures one board: start it once, without torchrun, srun or mpirun."
        )
    with quick_imports(for_good=True):
        group = join(cfg.distributed)
        from raspitrain.run.run import run
    run(cfg, output_dir, overrides=overrides, profile=profile, group=group)


def _check_is_no_sweep(cfg: DictConfig) -> None:
    choices = HydraConfig.get().runtime.choices
    if choices.get("hydra/sweeper") == "optuna":
        raise InputError("hydra/sweeper=optuna is for sweeps: add --multirun.")
    params = HydraConfig.get().sweeper.get("params")
    if params and choices.get("sweep") is None:
        raise InputError(
            f"hydra.sweeper.params ({', '.join(map(str, params))}), which a YAML sets, are for "
            "sweeps: add --multirun."
        )
    for key, given in (
        ("sweep", choices.get("sweep")),
        ("sweep_name", cfg.get("sweep_name")),
        ("launcher.boards", cfg.launcher.get("boards")),
        ("launcher.dask", cfg.launcher.get("dask")),
        ("launcher.srun", cfg.launcher.get("srun") or None),
    ):
        if given is not None:
            raise InputError(f"{key}={given} is for sweeps: add --multirun.")
    for word in HydraConfig.get().overrides.hydra:
        if word.lstrip("+").startswith("hydra.sweep."):
            raise InputError(
                f"{word} is for sweeps: add --multirun, or give a run's folder with hydra.run.dir."
            )


# Folders that Hydra is about to make for a run, the deepest first; they go if it never begins.
_made_by_hydra: list[Path] = []


class NoteFolders(Callback):
    """Notes which folders a run will be the first to need, and makes them before Hydra does: its
    own way fails where there are hundreds."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        given = str(config.hydra.run.dir)
        folder = absolute(given)
        if ".." in Path(given).parts:  # Hydra would make the folders that it leads back out of
            with read_write(config):
                config.hydra.run.dir = str(folder)
        _made_by_hydra[:] = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
        with suppress(OSError, ValueError):  # Hydra meets the same, and its error is told
            make_folder(folder)
