"""hardware=auto and the boards' profiles: what is recognised, filled in, and warned about."""

import os

import pytest
from boards import (
    A72,
    CONTAINER,
    GB,
    LAPTOP,
    NOTHING,
    PI3,
    PI4,
    PI5,
    PI5_NO_FAN,
    ZERO2W,
    put_board,
)
from conftest import TINY
from omegaconf import OmegaConf

from raspitrain.config import profile
from raspitrain.config.profile import profile_values, recognise, resolve_profile, with_profile
from raspitrain.config.rules import check, leaves
from raspitrain.errors import InputError
from raspitrain.paths import config_folder
from raspitrain.run.run import run

PROFILES = (
    "raspberrypi",
    "raspberrypi5",
    "raspberrypi4",
    "raspberrypi3",
    "zero2w",
    "desktop",
    "cuda",
)


def named(name, board=PI5):
    return board | {"model": f"Raspberry Pi {name}"}


def hidden(board):
    """In a container that masks the firmware's folders."""
    return {key: value for key, value in board.items() if key != "model"}


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(profile, "available_cores", lambda: 4)


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        (PI5, "raspberrypi5"),
        (PI5_NO_FAN, "raspberrypi5"),
        (named("500 Rev 1.0"), "raspberrypi5"),
        (named("Compute Module 5 Lite Rev 1.0"), "raspberrypi5"),
        (named("6 Model B Rev 1.0"), "raspberrypi5"),
        (PI4, "raspberrypi4"),
        (named("400 Rev 1.0"), "raspberrypi4"),
        (named("Compute Module 4S Rev 1.0"), "raspberrypi4"),
        (PI3, "raspberrypi3"),
        (named("2 Model B Rev 1.2", PI3), "raspberrypi3"),
        (named("3 Model A Plus Rev 1.0", PI3) | {"memory": GB // 2}, "zero2w"),
        (ZERO2W, "zero2w"),
        (hidden(PI5), "raspberrypi5"),
        (hidden(PI4), "raspberrypi4"),
        (hidden(PI3), "raspberrypi3"),
        (hidden(ZERO2W), "zero2w"),
        (PI4 | A72 | {"model": "Rockchip RK3399"}, "desktop"),
        (LAPTOP, "desktop"),
        (CONTAINER, "desktop"),
        (NOTHING, "desktop"),
    ],
)
def test_boards_are_recognised(tmp_path, board, expected):
    assert recognise(put_board(tmp_path, board)) == expected


def settled(compose, tmp_path, board, *overrides):
    root = put_board(tmp_path, board)
    typed = [override.split("=")[0] for override in overrides]
    cfg = compose(f"hardware.readings.root={root}", *overrides)
    return with_profile(cfg, typed)


@pytest.mark.parametrize(
    ("board", "name"),
    [(PI5, "raspberrypi5"), (PI4, "raspberrypi4"), (ZERO2W, "zero2w"), (NOTHING, "desktop")],
)
def test_auto_takes_what_the_boards_profile_says(compose, tmp_path, board, name):
    cfg, found = settled(compose, tmp_path, board)
    said = profile_values(name)
    taken = dict(leaves(OmegaConf.to_container(cfg.hardware)))
    assert (found.name, found.recognised, taken["profile"]) == (name, name, name)
    for key, value in said.items():
        if key != "num_threads":
            assert taken[key] == value, key
    assert taken["num_threads"] == "auto"  # measured
    assert found.notes == ()
    check(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False))


def test_what_is_typed_wins(compose, tmp_path):
    cfg, _ = settled(
        compose, tmp_path, ZERO2W, "hardware.memory_budget_mb=300", "hardware.wait_policy=passive",
        "hardware.thermal.policy=none",
    )  # fmt: skip
    assert cfg.hardware.memory_budget_mb == 300
    assert cfg.hardware.wait_policy == "passive"
    assert cfg.hardware.thermal.policy == "none"


def test_a_lower_limit_keeps_the_profiles_distance(compose, tmp_path):
    cfg, _ = settled(compose, tmp_path, PI5, "hardware.thermal.pause_above_c=60")
    assert cfg.hardware.thermal.resume_below_c == 50
    with pytest.raises(InputError, match=r"resume_below_c=65 must be below .*pause_above_c=60"):
        settled(
            compose, tmp_path, PI5, "hardware.thermal.pause_above_c=60",
            "hardware.thermal.resume_below_c=65",
        )  # fmt: skip


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_settles_all_that_auto_leaves_open(compose, name):
    open_keys = {k for k, v in profile_values("auto").items() if v == "auto"}
    said = profile_values(name)
    assert open_keys - {"engine"} == set(said)  # that is measured on every machine
    assert said["profile"] == name
    assert "auto" not in [v for k, v in said.items() if k != "num_threads"]
    assert compose(f"hardware={name}").hardware.profile == name


def test_every_profile_has_a_file():
    files = {path.stem for path in (config_folder() / "hardware").glob("*.yaml")}
    assert files == {*PROFILES, "auto"}


def test_resolving_again_changes_nothing(compose, tmp_path):
    cfg, _ = settled(compose, tmp_path, PI4)
    again, found = with_profile(cfg)
    assert again == cfg
    assert found.filled == {}


@pytest.mark.parametrize("name", ["raspberrypi5", "raspberrypi4", "zero2w"])
def test_a_boards_profile_elsewhere_takes_the_cores_that_are_there(
    compose, tmp_path, name, monkeypatch
):
    monkeypatch.setattr(profile, "available_cores", lambda: 2)
    cfg, found = settled(compose, tmp_path, LAPTOP, f"hardware={name}")
    assert cfg.hardware.num_threads == 2
    (note,) = found.notes
    assert f"hardware={name} asks for 4 threads" in note
    assert "2 cores" in note


def test_a_number_that_is_typed_is_taken_with_a_warning(compose, tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "available_cores", lambda: 1)
    cfg, found = settled(compose, tmp_path, LAPTOP, "hardware.num_threads=3")
    assert cfg.hardware.num_threads == 3
    assert found.notes == (
        "hardware.num_threads=3 is more than the 1 core that this process may use: threads will "
        "wait for one another.",
    )


@pytest.mark.parametrize(
    ("board", "overrides", "says"),
    [
        (CONTAINER, ["hardware.thermal.pause_above_c=70", "hardware.thermal.policy=pause"],
         "hardware.thermal.pause_above_c has no effect: no temperature"),
        (LAPTOP, ["hardware.thermal.pause_above_c=70"], "hardware.thermal.policy is none"),
        (LAPTOP, ["hardware.thermal.policy=none", "hardware.thermal.pause_above_c=70"],
         "hardware.thermal.pause_above_c has no effect: hardware.thermal.policy is none"),
        (PI5, ["hardware.thermal.policy=drop_thread", "hardware.num_threads=1"],
         "drop_thread has no effect: there is one thread"),
        (PI5, ["hardware.readings.vcgencmd=/not/there"], "/not/there is no program"),
        (LAPTOP, ["hardware=cuda", "hardware.num_threads=2"],
         "hardware.num_threads has no effect on training: a GPU"),
        (LAPTOP, ["hardware=cuda", "hardware.wait_policy=passive"], "wait_policy has no effect"),
    ],
)  # fmt: skip
def test_a_setting_that_does_nothing_here_is_named_once(compose, tmp_path, board, overrides, says):
    _, found = settled(compose, tmp_path, board, *overrides)
    (note,) = found.notes
    assert says in note


@pytest.mark.parametrize(
    "overrides", [[], ["hardware=cuda"], ["hardware=desktop"], ["hardware.thermal.policy=none"]]
)
def test_what_nobody_typed_is_no_cause_for_noise(compose, tmp_path, overrides):
    cfg = compose(*overrides)
    for number, board in enumerate([LAPTOP, CONTAINER, NOTHING]):
        cfg.hardware.readings.root = str(put_board(tmp_path / str(number), board))
        assert with_profile(cfg, [o.split("=")[0] for o in overrides])[1].notes == ()


def test_a_root_that_is_not_there_is_a_sentence(compose):
    with pytest.raises(InputError, match=r"hardware\.readings\.root=/not/there: there is no such"):
        resolve_profile(compose("hardware.readings.root=/not/there").hardware)


def test_a_profile_that_is_not_there_is_a_sentence(compose):
    with pytest.raises(InputError, match=r"profile=raspberrypi9: there is no .*raspberrypi5"):
        resolve_profile(compose("hardware.profile=raspberrypi9").hardware)


def test_a_run_records_its_board(compose, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    root = put_board(tmp_path, PI4)
    settings = [s for s in TINY if not s.startswith("hardware.")]
    summary = run(compose(*settings, f"hardware.readings.root={root}"), tmp_path / "run")
    assert summary["hardware"] == {
        "profile": "raspberrypi4", "recognised": "raspberrypi4", "model": PI4["model"],
    }  # fmt: skip
    written = OmegaConf.load(tmp_path / "run" / "config.yaml").hardware
    assert (written.profile, written.device, written.thermal.policy) == (
        "raspberrypi4", "cpu", "pause",
    )  # fmt: skip
