"""hydra/sweeper=optuna: what is drawn, how it resumes, what is ended early."""

import json
import math
import sqlite3
import subprocess
import sys
import time

import pytest
from conftest import TINY
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.raspitrain_optuna import _values
from raspitrain.errors import InputError
from raspitrain.results.table import append_row
from raspitrain.sweep.record import SweepJob
from raspitrain.sweep.search import Choice, Numbers, Search, check_settings

SETTINGS = {
    "n_trials": 8,
    "objective": "validation_accuracy",
    "direction": "auto",
    "sampler": "tpe",
    "seed": 0,
    "startup_trials": 3,
    "pruner": "median",
    "warmup_evaluations": 2,
}
SPACE = {
    "optimizer.lr": Numbers(1e-5, 1e-1, None, True, False),
    "batch_size": Numbers(8, 64, 8, False, True),
    "optimizer": Choice(("adam", "sgd")),
}


def search(folder, space=SPACE, fixed=(), **settings):
    return Search(folder, space, fixed, check_settings(SETTINGS | settings))


def finished(accuracy):
    best = {"validation_accuracy": accuracy}
    return {"status": "completed", "test_accuracy": 0.5, "best": best, "samples_per_second": 50}


def run_trial(found, trial, folder, accuracies, reason=None):
    """Feed a trial's evaluations one by one, as a poll between them would see them; tell its end.

    Returns the evaluation at which it was to be ended and why, if it was.
    """
    job = SweepJob(trial.number, folder / f"job {trial.number}", [], {}, "a: 1\n", {})
    job.folder.mkdir(exist_ok=True)
    for k, accuracy in enumerate(accuracies, start=1):
        append_row(job.folder / "metrics.csv", {"epoch": k, "validation_accuracy": accuracy})
        if (reason := found.poll(job)) is not None:
            found.tell(trial.number, {"status": "pruned"}, job.folder)
            return k, reason
    found.tell(trial.number, finished(max(accuracies)), job.folder)
    return None


def trials(found):
    """Every trial, each asked for when the one before has ended."""
    return iter(found.ask, None)


def words_of(found, folder, count):
    """The words of the next trials; each ends at once."""
    drawn = []
    for trial in trials(found):
        drawn.append(found.words(trial))
        run_trial(found, trial, folder, [0.1 + 0.01 * trial.number])
        if len(drawn) >= count:
            break
    return drawn


def test_values_are_drawn_from_the_space_until_there_are_n_trials(tmp_path):
    drawn = words_of(search(tmp_path), tmp_path, 100)
    assert len(drawn) == 8
    for words in drawn:
        values = dict(word.split("=") for word in words)
        assert list(values) == list(SPACE)
        assert 1e-5 <= float(values["optimizer.lr"]) <= 1e-1
        assert int(values["batch_size"]) in range(8, 65, 8)
        assert values["optimizer"] in ("adam", "sgd")
    assert len({words[0] for words in drawn}) == 8


def test_a_search_that_was_killed_goes_on_as_it_would_have(tmp_path):
    """The second process of a search draws what the first one would have drawn."""
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = words_of(search(tmp_path / "whole"), tmp_path / "whole", 8)
    first = search(tmp_path / "broken")
    begun = words_of(first, tmp_path / "broken", 4)
    left = first.ask()  # under way when the power goes
    again = words_of(search(tmp_path / "broken"), tmp_path / "broken", 100)
    assert first.words(left) == again[0]
    assert begun + again == whole
    assert words_of(search(tmp_path / "broken"), tmp_path / "broken", 100) == []
    assert len(words_of(search(tmp_path / "broken", n_trials=10), tmp_path / "broken", 100)) == 2


def test_a_trial_that_was_cut_off_while_it_was_drawn_is_drawn_to_its_end(tmp_path):
    found = search(tmp_path)
    found.study.ask()  # no parameter drawn yet
    again = search(tmp_path)
    trial = again.ask()
    assert [word.split("=")[0] for word in again.words(trial)] == list(SPACE)
    run_trial(again, trial, tmp_path, [0.5])
    assert again.num_done == 1


def side_by_side(folder, ends, crashes=()):
    """The words of five trials, two at a time; `ends` says which of the two ends next.

    crashes : before which ends the search is opened anew, and which file is lost then
    """
    settings = {"pruner": None, "n_trials": 5, "startup_trials": 1}
    found = search(folder, **settings)
    drawn, under_way = {}, []
    for number, end in enumerate(ends):
        if number in crashes:
            (folder / crashes[number]).unlink(missing_ok=True)
            found, under_way = search(folder, **settings), []
        while len(under_way) < 2 and (trial := found.ask()) is not None:
            under_way.append(trial)
            assert drawn.setdefault(trial.number, found.words(trial)) == found.words(trial)
        ended = under_way.pop(end % len(under_way))
        found.tell(ended.number, finished(0.9 - 0.05 * ended.number), folder)
    assert found.ask() is None
    return drawn


def test_trials_side_by_side_are_drawn_again_from_the_order_of_asks_and_tells(tmp_path):
    """Whatever moment the coordinator is killed at, and which of its two files is lost."""
    ends = [1, 1, 0, 1, 0]
    for name in ("whole", "broken", "other"):
        (tmp_path / name).mkdir()
    whole = side_by_side(tmp_path / "whole", ends)
    crashes = {1: "none", 3: "study.db", 4: "search.jsonl"}
    assert side_by_side(tmp_path / "broken", ends, crashes) == whole
    assert side_by_side(tmp_path / "other", [0, 1, 0, 1, 0]) != whole


def test_a_log_that_power_cut_off_or_that_is_none(tmp_path):
    words_of(search(tmp_path), tmp_path, 3)
    path = tmp_path / "search.jsonl"
    whole = path.read_bytes()
    for left in (whole[:-9], whole[:1]):
        path.write_bytes(left)
        assert search(tmp_path).num_done == 3
        assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"ask": 1', b'"ask": 2'))
    with pytest.raises(InputError, match=r"search\.jsonl is damaged: move it away"):
        search(tmp_path)


def test_a_job_behind_the_median_is_ended_after_its_first_evaluations(tmp_path):
    found = search(tmp_path)
    ended = []
    for trial in trials(found):
        level = 0.9 if trial.number < 3 else 0.2
        rising = [level * k / 10 for k in range(1, 11)]
        ended.append(run_trial(found, trial, tmp_path, rising))
        if trial.number == 3:
            break
    assert ended[:3] == [None, None, None]
    evaluation, reason = ended[3]
    assert 2 <= evaluation <= 3
    assert "behind the median" in reason
    assert found.lines()[0] == "search: 4 trials, of them 1 pruned; best:"
    assert "validation_accuracy 0.9:" in found.lines()[1]


@pytest.mark.parametrize("at_a_time", [1, 3, 4, 10])
def test_how_many_evaluations_come_between_two_polls_makes_no_difference(tmp_path, at_a_time):
    """Polls may be late, and a job may be done before the first of them."""
    found = search(tmp_path)
    for number, level in enumerate([0.9, 0.5, 0.7, 0.8, 0.2]):
        rising = [level * k / 10 for k in range(1, 11)]
        if number == 3:  # it falls behind at the sixth, and would win in the end
            rising[5:] = [rising[4]] * 4 + [0.95]
        trial = found.ask()
        job = SweepJob(number, tmp_path / str(number), [], {}, "a: 1\n", {})
        job.folder.mkdir()
        for k, value in enumerate(rising, start=1):
            append_row(job.folder / "metrics.csv", {"epoch": k, "validation_accuracy": value})
            if k % at_a_time == 0 and found.poll(job) is not None and k >= 9:
                break  # it has heeded the signal
        if number == 4:  # the coordinator dies before it has put down that this one is to end
            found = search(tmp_path)
            trial = found.ask()
        reason = found.poll(job)
        summary = finished(max(rising)) if reason is None else {"status": "pruned"}
        found.tell(trial.number, summary, job.folder)
    ended = [(t.state.name, len(t.intermediate_values)) for t in found.study.trials]
    assert ended == [*[("COMPLETE", 10)] * 3, ("PRUNED", 6), ("PRUNED", 2)]


def test_nothing_is_ended_without_a_pruner_or_for_a_figure_that_comes_at_the_end(tmp_path):
    for k, settings in enumerate(({"pruner": None}, {"objective": "total_seconds"})):
        folder = tmp_path / str(k)
        folder.mkdir()
        found = search(folder, **settings)
        for trial in trials(found):
            job = SweepJob(trial.number, folder, [], {}, "a: 1\n", {})
            append_row(folder / "metrics.csv", {"epoch": 1, "validation_accuracy": 0.0})
            assert found.poll(job) is None
            summary = finished(0.5) | {"total_seconds": 3.0 + trial.number}
            found.tell(trial.number, summary, folder)
    assert "total_seconds 3:" in found.lines()[1]  # fewer are better


def test_failed_jobs_count_and_choose_nothing(tmp_path):
    found = search(tmp_path, n_trials=3)
    for trial in trials(found):
        status = "out_of_memory" if trial.number else "diverged"
        found.tell(trial.number, finished(0.99) | {"status": status}, tmp_path)
    assert found.lines() == ["search: 3 trials, of them 3 failed"]


def test_the_best_says_what_it_is_warned_of_and_gives_way_to_one_as_good(tmp_path):
    warned = {"warnings": ["the run ends underfitted: 60.0 % of its own training cases"]}
    found = search(tmp_path, n_trials=3)
    found.tell(found.ask().number, finished(0.9) | warned, tmp_path)
    assert "0.9 (but the run ends underfitted): " in found.lines()[1]
    (tmp_path / "study.db").unlink()
    found = search(tmp_path, n_trials=3)
    assert "0.9 (but the run ends underfitted): " in found.lines()[1]
    for accuracy in (0.5, 0.9):
        trial = found.ask()
        found.tell(trial.number, finished(accuracy), tmp_path)
    assert found.lines()[1].split("0.9: ")[1] == " ".join(found.words(trial))


def test_several_objectives_have_several_answers(tmp_path):
    found = search(
        tmp_path, objective=["validation_accuracy", "samples_per_second"], n_trials=3, pruner=None
    )
    speeds = [10, 30, 20]
    for trial in trials(found):
        summary = finished([0.9, 0.5, 0.4][trial.number])
        summary["samples_per_second"] = speeds[trial.number]
        found.tell(trial.number, summary, tmp_path)
    lines = found.lines()
    assert len(lines) == 3
    assert "validation_accuracy 0.9, samples_per_second 10:" in lines[1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_trials": 0}, "n_trials must be a whole number from 1"),
        ({"objective": "test_accuracy"}, "the test part never chooses"),
        ({"objective": "best.test_macro_f1"}, "use best.validation_macro_f1"),
        ({"objective": []}, "names no figure"),
        ({"direction": "up"}, "direction must be auto or maximize or minimize"),
        ({"direction": ["auto", "auto"]}, "2 values for 1"),
        ({"sampler": "grid"}, "sampler must be tpe or random"),
    ],
)
def test_settings_that_will_not_do(settings, says):
    with pytest.raises(InputError, match=says):
        check_settings(SETTINGS | settings)


def test_a_figure_that_no_summary_has(tmp_path):
    found = search(tmp_path, objective="accuracy")
    trial = found.ask()
    with pytest.raises(InputError, match="accuracy is no figure of summary"):
        found.tell(trial.number, finished(0.5), tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"space": {"batch_size": Choice(("8",))}}, "with other values"),
        ({"fixed": ["epochs=3"]}, "with other overrides"),
        ({"objective": "samples_per_second"}, "another objective"),
    ],
)
def test_the_folder_of_another_search_is_left_alone(tmp_path, change, says):
    search(tmp_path)
    before = (tmp_path / "study.db").read_bytes()
    with pytest.raises(InputError, match=says):
        search(tmp_path, **change)
    assert (tmp_path / "study.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all, but text" * 50, b"SQLite format 3\0"])
def test_a_damaged_study_is_one_sentence(tmp_path, content):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.db cannot be used .* move it away"):
        search(tmp_path)
    assert (tmp_path / "study.db").read_bytes() == content


def test_a_folder_with_an_odd_name(tmp_path):
    folder = tmp_path / "50% {a} #1 ?b&c ü"
    folder.mkdir()
    words_of(search(folder), folder, 1)
    assert (folder / "study.db").is_file()
    assert sqlite3.connect(folder / "study.db").execute("select count(*) from trials").fetchone()


def values(words):
    (override,) = OverridesParser.create().parse_overrides([words])
    return _values(override)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("x=adam,sgd", Choice(("adam", "sgd"))),
        ("x=1,2.5,null", Choice(("1", "2.5", "null"))),
        ("x=interval(0,1)", Numbers(0.0, 1.0, None, False, False)),
        ("x=tag(log,interval(1e-4,1e-1))", Numbers(1e-4, 1e-1, None, True, False)),
        ("x=int(interval(1,9))", Numbers(1, 9, None, False, True)),
        ("x=tag(log,int(interval(1,9)))", Numbers(1, 9, None, True, True)),
        ("x=range(8,65,8)", Numbers(8, 64, 8, False, True)),
        ("x=range(1,5)", Numbers(1, 4, 1, False, True)),  # as in Hydra's own sweep
        ("x=tag(log,range(1,5))", Numbers(1, 4, None, True, True)),
        ("x=range(0.1,0.45,0.1)", Numbers(0.1, 0.4, 0.1, False, False)),
        ("x=range(7,8)", Choice(("7",))),
    ],
)
def test_hydras_own_words_for_a_space(words, expected):
    found = values(words)
    if isinstance(expected, Numbers):
        assert (found.log, found.whole) == (expected.log, expected.whole)
        assert math.isclose(found.low, expected.low)
        assert math.isclose(found.high, expected.high)
        assert found.step == pytest.approx(expected.step)
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("x=interval(1,1)", "the second number must be above the first"),
        ("x=tag(log,interval(0,1))", "must be above 0"),
        ("x=range(5,5)", "gives no values"),
        ("x=tag(log,range(1,9,2))", "step 1"),
        ("x=range(100000)", "give 1 to 1000"),
    ],
)
def test_spaces_that_will_not_do(words, says):
    with pytest.raises(InputError, match=says):
        values(words)


SEARCH = ("--multirun", "hydra/sweeper=optuna", "hydra.sweeper.startup_trials=1")


def test_a_search_by_the_command_and_its_continuation(forked_command, tmp_path):
    words = [*SEARCH, "optimizer.lr=tag(log,interval(1e-4,1e-2))", "sweep_name=found", *TINY,
             "split.validation=0.2"]  # fmt: skip
    first = forked_command(*words, "hydra.sweeper.n_trials=1")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "outputs" / "sweeps" / "found"
    (job,) = (path.parent for path in folder.glob("*/summary.json"))
    before = (job / "summary.json").stat().st_mtime_ns
    again = forked_command(*words, "hydra.sweeper.n_trials=2")
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    assert "search: 2 trials; best:" in again.stdout
    assert (job / "summary.json").stat().st_mtime_ns == before
    jobs = json.loads((folder / "jobs.json").read_text())["jobs"]
    assert [(j["number"], j["status"]) for j in jobs] == [(0, "completed"), (1, "completed")]
    result = json.loads((folder / "sweep.json").read_text())
    assert result["swept"] == ["optimizer.lr"]
    assert len(result["jobs"]) == 2


VALIDATION = "split.validation=0.2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["batch_size=8,16"], "validation_accuracy needs a validation part: add split.validation"),
        (["optimizer=adam,sgd", "batch_size=int(interval(0,9))", VALIDATION], "batch_size must be"),
        (["batch_size=interval(8,16)", VALIDATION], "write int(interval(8,16))"),
        (["batch_size=8,16", "hydra.sweeper.n_trial=4"], "did you mean hydra.sweeper.n_trials"),
        (["batch_size=8,16", "hydra.sweeper.storage=x"], "no key of a search; there are"),
    ],
)
def test_a_mistake_is_said_before_the_first_job(forked_command, tmp_path, words, says):
    done = forked_command(*SEARCH, *words, *TINY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_search_without_multirun_and_its_keys_without_a_search(forked_command):
    assert "add --multirun" in forked_command("hydra/sweeper=optuna").stderr
    done = forked_command("--multirun", "hydra.sweeper.n_trials=4", "batch_size=8,16")
    assert "add hydra/sweeper=optuna" in done.stderr


@pytest.mark.long
def test_a_search_that_was_killed_equals_one_that_was_not(command, tmp_path):
    words = [*SEARCH, "optimizer.lr=tag(log,interval(1e-4,1e-2))", "sweep=optimizers", VALIDATION,
             *TINY, "hydra.sweeper.n_trials=4"]  # fmt: skip
    assert command(*words, "sweep_name=whole").returncode == 0
    broken = [sys.executable, "-m", "raspitrain", *words, "sweep_name=broken"]
    killed = subprocess.Popen(broken, cwd=tmp_path, stdout=subprocess.DEVNULL)
    folder = tmp_path / "outputs" / "sweeps" / "broken"
    while len(list(folder.glob("*/job.yaml"))) < 3:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    done = list(folder.glob("*/summary.json"))
    before = [path.stat().st_mtime_ns for path in done]
    assert command(*words, "sweep_name=broken").returncode == 0
    assert [path.stat().st_mtime_ns for path in done] == before

    def results(name):
        found = json.loads((tmp_path / "outputs" / "sweeps" / name / "sweep.json").read_text())
        return [
            (job["number"], job["name"], job["status"], job["figures"]["validation_accuracy"])
            for job in found["jobs"]
        ]

    assert results("broken") == results("whole")
    assert len(results("whole")) == 4


def test_without_optuna_it_says_what_to_install(command, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'optuna' else find(name, *a)\n"
    )
    import os

    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = command(*SEARCH, "batch_size=8,16", *TINY, PYTHONPATH=path)
    assert done.returncode == 2
    assert "needs the package optuna" in done.stderr


def test_other_commands_do_not_import_optuna():
    code = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance()\n"
        "assert 'hydra_plugins.raspitrain_optuna' in sys.modules\n"
        "assert not {'optuna', 'sqlalchemy', 'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
