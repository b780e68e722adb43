"""The command line: compose with Hydra, check, run; a mistake ends in one sentence.

Exit codes: 0 finished, 1 a fault of ours (with its trace) or a sweep of which not every job
finished, 2 a mistake in what was given, 74 a card that would not take the results, 75 a state that
can pass (a full card, too little memory just now), 128 and a signal's number ended by that signal
(130 Ctrl-C, 143 SIGTERM, 129 SIGHUP), after what there was has been written.
"""

import argparse
import difflib
import io
import itertools
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from raspitrain.cli.resume import (
    AUTO,
    asks_to_resume,
    resume_as_asked,
    resume_or_start,
    shows_only,
)
from raspitrain.cli.trust import guard
from raspitrain.config.composition import (
    check_composition,
    first_line,
    given_keys,
    input_error_in,
)
from raspitrain.config.profile import with_profile
from raspitrain.config.rules import leaves
from raspitrain.errors import (
    CAN_PASS,
    InputError,
    UnwrittenError,
    input_error,
    printable,
    reason,
    remedy,
    visible,
)
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error
from raspitrain.hardware.threads import (
    given_num_threads,
    resolve_num_threads,
    thread_environment,
)
from raspitrain.paths import config_folder
from raspitrain.results.folder import make_folder
from raspitrain.stop import Stopped, say, tidy
from raspitrain.sweep.sweep import SweepEnd


def main() -> int:
    """Do what sys.argv says; return the exit code."""
    # Hydra then passes its errors on instead of printing them and exiting with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    exit_code = 0

    def task(cfg: DictConfig) -> None:
        nonlocal exit_code
        output_dir = Path(HydraConfig.get().runtime.output_dir)
        try:
            # As they were typed: an interpolation in them is not ours to resolve.
            typed: Any = HydraConfig.get().overrides.task
            overrides = [str(typed._get_node(k)) for k in range(len(typed))]
            try:
                _check_is_no_sweep(cfg)
                run_composed(cfg, output_dir, overrides)
            finally:
                _remove_empty(_made_by_hydra)
        except InputError as error:
            exit_code = _say(error)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            exit_code = _say(out_of_memory_error())

    guard(config_folder().resolve(), sys.argv[1:])
    Hydra.get_mode = _mode_as_typed  # type: ignore[method-assign]
    command = hydra.main(
        config_path=str(config_folder().resolve()), config_name="config", version_base="1.3"
    )(task)
    tidy.append(lambda: _remove_empty(_made_by_hydra))
    try:
        if AUTO in sys.argv[1:]:
            words = resume_or_start(sys.argv[1:])
            if words is None:
                return 0
            sys.argv[1:] = words
        elif asks_to_resume(sys.argv[1:]):
            resume_as_asked(sys.argv[1:])
            return 0
        parser = get_args_parser()
        parser.error = _refuse  # type: ignore[method-assign]
        sys.argv[1:] = _options_first(parser, sys.argv[1:])
        given = parser.parse_args()
        if given.experimental_rerun is not None:
            raise InputError(
                "--experimental-rerun would unpickle a file, which can run code: resume=FOLDER "
                "goes on with a run, and its overrides.yaml says how it was started."
            )
        if given.package is not None:
            _check_package(given.package)
        OmegaConf.register_new_resolver(
            "first_given", lambda *values: next(v for v in values if v is not None), replace=True
        )
        with _shown_safely() if shows_only(sys.argv[1:]) else nullcontext():
            command()
    except SweepEnd as end:
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
        # Whoever reads our output has had enough, as in `| head`; nor does the exit write to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        mistake = _mistake(error, sys.argv[1:])
        if mistake is None:
            raise
        return _say(mistake)
    return exit_code


@contextmanager
def _shown_safely() -> Iterator[None]:
    """For what Hydra prints: names and values of files come as they are."""
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            yield
    finally:
        sys.stdout.write(visible(shown.getvalue(), keep="\n\t"))
        sys.stdout.flush()


_composed_mode = Hydra.get_mode


def _mode_as_typed(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """Run or sweep: Hydra would compose everything once more, to look for a hydra.mode in it."""
    if any(word.lstrip("+").startswith("hydra.mode=") for word in overrides):
        return _composed_mode(self, config_name, overrides)
    return None


def _say(error: InputError) -> int:
    """Print the error's sentence; return its exit code."""
    say(f"error: {printable(' '.join(str(error).split()))}")
    return error.exit_code


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}; --help shows how the command is written.")


def _options_first(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """The same words in an order that argparse reads: it takes overrides in one place only."""
    takes_value = {
        name for action in parser._actions if action.nargs is None for name in action.option_strings
    }
    options, overrides = [], []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        options.append(word)
        if word in takes_value:
            options += itertools.islice(words, 1)
    return [*options, *overrides]


def _check_package(package: str) -> None:
    """Refuse a --package that names no part of the configuration."""
    known = _known_keys(sys.argv[1:])
    parts = {key.rsplit(".", depth)[0] for key in known for depth in range(key.count(".") + 1)}
    if package not in {*parts, "_global_"} and package.split(".")[0] != "hydra":
        raise InputError(
            f"--package {package}: the configuration has no such part"
            f"{_did_you_mean(package, sorted(parts)) or '; --cfg job shows all of it.'}"
        )


def run_composed(cfg: DictConfig, output_dir: Path, overrides: list[str]) -> None:
    """Check the configuration, set the environment that torch reads at import, then run."""
    check_composition(cfg, overrides)
    if cfg.resume is not None:
        raise InputError("resume= stands on the command line, not in a YAML.")
    if output_dir == Path.cwd():
        raise InputError(
            "hydra.run.dir must name a folder of its own for the run, not the one you are in."
        )
    given_num_threads(os.environ)  # libgomp reads it too, whatever the profile says
    hardware = with_profile(cfg, given_keys(overrides))[0].hardware
    num_threads = resolve_num_threads(hardware.num_threads, os.environ)
    os.environ.update(thread_environment(num_threads, hardware.wait_policy, os.environ))

    from raspitrain.run.task import perform

    perform(cfg, output_dir, overrides)


def _check_is_no_sweep(cfg: DictConfig) -> None:
    choices = HydraConfig.get().runtime.choices
    if choices.get("hydra/sweeper") == "optuna":
        raise InputError("hydra/sweeper=optuna is for sweeps: add --multirun.")
    for key, given in (
        ("sweep", choices.get("sweep")),
        ("sweep_name", cfg.get("sweep_name")),
    ):
        if given is not None:
            raise InputError(f"{key}={given} is for sweeps: add --multirun.")


# Folders that Hydra is about to make for a run, the deepest first.
_made_by_hydra: list[Path] = []


class NoteFolders(Callback):
    """Notes which folders a run will be the first to need, and makes them before Hydra does: its
    own way fails where there are hundreds."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(str(config.hydra.run.dir)).absolute()
        _made_by_hydra[:] = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
        with suppress(OSError, ValueError):  # Hydra meets the same, and its error is told
            make_folder(folder)


def _remove_empty(folders: list[Path]) -> None:
    """Take back the folders of a run that never began, as far as nothing is in them."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _mistake(error: Exception, arguments: list[str]) -> InputError | None:
    """What to tell the user; None if the fault is ours."""
    refused = error if isinstance(error, InputError) else input_error_in(error)
    if refused is not None:
        return refused
    if is_out_of_memory(error):
        return out_of_memory_error()
    sentence = _sentence(error, arguments)
    return None if sentence is None else input_error(sentence, error)


def _sentence(error: Exception, arguments: list[str]) -> str | None:
    """What the user did wrong, in one sentence; None if the fault is ours."""
    message = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group:
            options = sorted(error.options)
            return (
                f"{group}={option}: there is no such option{_did_you_mean(option, options) or ';'} "
                f"{group} may be {', '.join(options)}."
            )
    if isinstance(error, OverrideParseException):
        hint = ""
        if "=" in str(error.override):
            hint = (
                "; a value with a space or one of []{}:,'\"$()= in it needs quotes within those of "
                "the shell, as in 'key=\"value\"'"
            )
        return f"{error.override!r} cannot be read: write key=value{hint}."
    if found := re.search(r"Could not override '([^']*)'", message):
        return _unknown_key(found[1], arguments)
    if found := re.search(r"Ambiguous value for argument '([^']*)'", message):
        return f"{found[1]} gives several values: add --multirun to run them one after another."
    if found := re.search(r"Override (\S+) looks like a config group", message):
        return _unknown_key(found[1].split("=")[0].split("@")[0], arguments)
    if message.startswith("Config group override must be"):
        for argument in arguments:
            group, _, value = argument.lstrip("+").partition("=")
            if group in ("hydra", *_known_keys([])) and (value in NOT_A_NAME or _is_number(value)):
                return f"{argument}: {group} must be the name of an option; --help lists them."
    if found := re.search(r"An item is already at '([^']*)'", message):
        return f"{found[1]} is there already: leave the + out."
    if found := re.match(r"Error merging override (.*)", message):
        why = f" ({first_line(error.__cause__)})" if error.__cause__ is not None else ""
        return f"{found[1]} does not fit there{why}; --cfg all shows what does."
    if isinstance(error, HydraException | OmegaConfBaseException):
        return first_line(error)
    inside_hydra = _raised_inside_hydra(error)
    if isinstance(error, OSError) and (inside_hydra or error.errno in CAN_PASS):
        return (
            f"{error.filename or 'The run folder'}: {reason(error)}; "
            f"{remedy(error, 'give another hydra.run.dir, hydra.sweep.dir or file')}."
        )
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}; fix the YAML."
    if isinstance(error, RecursionError):
        return "The configuration is nested too deeply to be read: use fewer levels."
    return first_line(error) if inside_hydra else None


# What stands where a group's option should, and is read as something else than a name.
NOT_A_NAME = ("null", "true", "false", "nan", "inf")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unknown_key(key: str, arguments: list[str]) -> str:
    if key.startswith("hydra.sweeper."):
        return _unknown_key_of_search(key, arguments)
    known = _known_keys(arguments)
    if f"{key}={{" in " ".join(arguments):
        return f"{key}={{…}} cannot take the place of a group: set its keys one by one, {key}.KEY=…"
    if key in known:
        return f"{key} is not there any more: another part of the command removes its group."
    hint = _did_you_mean(key, known) or "; --cfg job shows all keys."
    return f"{key} is not a key of this configuration{hint}"


def _unknown_key_of_search(key: str, arguments: list[str]) -> str:
    from raspitrain.sweep.search import RULES as SEARCH_RULES

    known = [f"hydra.sweeper.{name}" for name in SEARCH_RULES]
    if key in known and "hydra/sweeper=optuna" not in arguments:
        return f"{key} is for searches: add hydra/sweeper=optuna."
    return f"{key} is no key of a search{_did_you_mean(key, known) or '; --cfg hydra shows all.'}"


def _known_keys(arguments: list[str]) -> list[str]:
    """Groups and keys of the configuration that the command would compose without its mistakes."""
    folder = None
    for position, argument in enumerate(arguments):
        if argument.startswith(("--config-dir=", "-cd=")):
            folder = argument.split("=", 1)[1]
        elif argument in ("--config-dir", "-cd") and position + 1 < len(arguments):
            folder = arguments[position + 1]
    search_path = [f"hydra.searchpath=[file://{os.path.abspath(folder)}]"] if folder else []
    with hydra.initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = [
            g
            for g in loader.list_groups("")
            if g != "hydra" and loader.get_group_options(g, ObjectType.CONFIG)
        ]
        choices = [a for a in arguments if a.split("=")[0] in groups and "," not in a]
        try:
            composed = hydra.compose("config", overrides=choices + search_path)
        except Exception:  # the choices hold another mistake
            composed = hydra.compose("config")
    container = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(container, dict)
    keys = [key for key, _ in leaves({str(k): v for k, v in container.items()})]
    keys += ["hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"]
    return groups + [key for key in keys if not key.split(".")[-1].startswith("_")]


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known words, compared whole and by their last part."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    last = word.rsplit(".", 1)[-1]
    near += [k for k in known if k.rsplit(".", 1)[-1] == last]
    if not near:
        tails = {k.rsplit(".", 1)[-1]: k for k in known}
        near = [tails[t] for t in difflib.get_close_matches(last, tails, n=3)]
    near = list(dict.fromkeys(near))[:3]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _raised_inside_hydra(error: Exception) -> bool:
    """Whether Hydra or what it reads with, and no code of ours, was at work."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        if {"hydra", "omegaconf", "yaml", "antlr4"} & set(parts[:-1]):
            return True
        if Path(__file__).parents[1] in Path(frame.filename).parents:
            return False
    return False
