"""examples/raspitrain.service: the command that it runs, over and over, as systemd would."""

import random
import shlex
from pathlib import Path

from conftest import TINY
from processes import finish, start, wait_for

from raspitrain.errors import InputError, TemporaryError, UnwrittenError

UNIT = Path(__file__).parents[1] / "examples" / "raspitrain.service"
SHORT = (
    *(t for t in TINY if not t.startswith("epochs=")),
    "epochs=40",
    "eval_every=5",
    "optimizer=sgd",
)


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """The unit's lines, continued ones joined: each key with its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().replace("\\\n", " ").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value.strip())
    return found


def words(folder: Path) -> list[str]:
    """What ExecStart gives the command, for a folder and a job of ours."""
    (command,) = settings()["ExecStart"]
    python, module, name, *given = shlex.split(command)
    assert (Path(python).name, module, name) == ("python", "-m", "raspitrain")
    ours = [f"hydra.run.dir={folder}" if w.startswith("hydra.run.dir=/var/") else w for w in given]
    assert ours != given
    return [*(w for w in ours if not w.startswith("experiment=")), *SHORT]


def said(folder: Path) -> str:
    return (folder / "stdout.txt").read_text() + (folder / "stderr.txt").read_text()


def test_the_same_command_starts_goes_on_and_ends(tmp_path):
    command = words(tmp_path / "night")
    chance = random.Random(0)
    for _ in range(4):  # power cuts, also before the first checkpoint
        process = start(*command, cwd=tmp_path)
        process.join(chance.uniform(0.1, 0.7))
        process.kill()
        process.join()
    assert finish(*command, cwd=tmp_path) == 0, said(tmp_path)
    assert "test accuracy" in said(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "night").glob("[!.]*")}
    assert finish(*command, cwd=tmp_path) == 0, said(tmp_path)
    assert "the run is complete" in said(tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "night").glob("[!.]*")} == before


def test_what_the_command_says_anew_counts(tmp_path):
    command = [*words(tmp_path / "night")]
    assert finish(*command, cwd=tmp_path) == 0, said(tmp_path)
    longer = [word.replace("epochs=40", "epochs=45") for word in command]
    assert finish(*longer, cwd=tmp_path) == 0, said(tmp_path)
    assert "epoch 45/45" in said(tmp_path)
    other = [word.replace("width_mult=0.25", "width_mult=0.5") for word in command]
    assert finish(*other, cwd=tmp_path) == 2
    assert "would make it another run" in said(tmp_path)


def test_systemd_stops_it_in_time_and_leaves_a_mistake_alone(tmp_path):
    unit = settings()
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["2"]
    assert {InputError.exit_code, TemporaryError.exit_code, UnwrittenError.exit_code} == {2, 75, 74}
    assert unit["SuccessExitStatus"] == ["143"]
    command = [word.replace("epochs=40", "epochs=100000") for word in words(tmp_path / "night")]
    process = start(*command, cwd=tmp_path)
    wait_for(tmp_path / "night" / "metrics.csv")
    process.terminate()
    process.join(int(unit["TimeoutStopSec"][0]))
    assert process.exitcode == 143, said(tmp_path)
    assert finish(*command, "modle=x", cwd=tmp_path) == 2
    assert finish("resume=auto", cwd=tmp_path) == 2
    assert "hydra.run.dir=FOLDER" in said(tmp_path)
