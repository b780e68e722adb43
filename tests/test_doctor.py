"""The doctor: nothing on a clean board, each planted fault with its remedy."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from boards import (
    CONTAINER,
    GB,
    LAPTOP,
    PI3,
    PI4,
    PI5,
    PI5_NO_FAN,
    ZERO2W,
    put_board,
    vcgencmd_of,
)

from raspitrain.doctor import __main__ as doctor
from raspitrain.doctor import checks
from raspitrain.doctor.checks import find, gather
from raspitrain.doctor.torch_build import TorchBuild, examine_torch

WORKS = TorchBuild(installed=True, version="2.9.1", works=True, num_threads=4, seconds=3.0)
CLEAN = {"CC": "sh"}  # a compiler by any name

BOARDS = {
    "pi5": PI5, "pi5 without fan": PI5_NO_FAN, "pi4": PI4, "pi3": PI3, "zero2w": ZERO2W,
    "laptop": LAPTOP, "container": CONTAINER,
}  # fmt: skip


def examine(folder, board, torch=WORKS, environment=CLEAN):
    root = put_board(folder, board)
    return find(gather(root, vcgencmd_of(folder), folder, environment), torch)


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_a_clean_board_has_nothing(tmp_path, board):
    assert examine(tmp_path, board) == []


CUDA = TorchBuild(
    installed=True, version="2.11.0+cu130", cuda="13.0", gpu_packages_mb=4321.0, works=True
)
SIGILL = TorchBuild(installed=True, version="2.10.0", failure="illegal instruction")
SWAP = {"swaps": [("/dev/zram0", "partition"), ("/var/swap", "file")]}


@pytest.mark.parametrize(
    ("board", "torch", "about", "level", "words", "remedy"),
    [
        (PI5, CUDA, "CUDA build", "warning", "built for CUDA 13.0 and takes 4321 MB more",
         "pip install 'torch>=2.8,<2.10'"),
        (LAPTOP, CUDA, "CUDA build", "warning", "no NVIDIA GPU", "download.pytorch.org/whl/cpu"),
        (PI4, SIGILL, "illegal instruction", "error", "atomic instructions (LSE)",
         "pip install 'torch>=2.8,<2.10'"),
        (PI5, SIGILL, "illegal instruction", "error", "does not have all the instructions",
         "pip install 'torch>=2.8,<2.10'"),
        (PI5, replace(SIGILL, version="2.9.1"), "illegal instruction", "error", "torch 2.9.1 dies",
         "pip uninstall -y torch python -m pip install 'torch>=2.8,<2.10,!=2.9.1'"),
        (LAPTOP, replace(SIGILL, version="2.13.0+cpu"), "illegal instruction", "error", "2.13.0",
         "install 'torch!=2.13.0' --index-url"),
        (PI5, TorchBuild(failure="x cannot be run"), "no Python", "error", "x cannot", "--python"),
        (PI5, TorchBuild(), "no torch", "error", "torch is not installed", "pip install"),
        (PI5, TorchBuild(installed=True, version="2.9.1", failure="OSError: libopenblas.so.0"),
         "torch does not load", "error", "libopenblas", "pip uninstall -y torch"),
        (ZERO2W, TorchBuild(installed=True, version="2.9.1", failure="out of memory"),
         "torch does not load", "error", "memory ran out", "multi-user.target"),
        (PI5, TorchBuild(installed=True, version="2.9.1", failure="too slow", seconds=120.0),
         "torch does not load", "warning", "longer than 120 s", "dmesg"),
        (PI5, TorchBuild(installed=True, version="2.5.1", works=True), "old torch", "error",
         "older than 2.8", "pip install"),
        (PI5 | {"available": 300_000_000}, WORKS, "little memory", "warning", "300 of 8590 MB",
         "multi-user.target"),
        (ZERO2W | {"available": 150_000_000}, WORKS, "little memory", "error", "150 of 537 MB",
         "multi-user.target"),
        (PI5 | {"cgroup": {"memory.max": GB // 4, "memory.current": GB // 16}}, WORKS,
         "little memory", "warning", "of 268 MB", "End other programs"),
        (PI4 | SWAP | {"etc": ["dphys-swapfile"]}, WORKS, "swap on the card", "warning",
         "/var/swap swaps to the SD card", "dphys-swapfile swapoff"),
        (PI5 | SWAP | {"etc": ["rpi/swap.conf"]}, WORKS, "swap on the card", "warning",
         "/var/swap", "Mechanism=zram"),
        (PI4 | {"swaps": [("/dev/mmcblk0p3", "partition")]}, WORKS, "swap on the card", "warning",
         "/dev/mmcblk0p3", "sudo swapoff /dev/mmcblk0p3"),
        (PI5 | {"swaps": [("/dev/mmcblk0p3", "partition")], "etc": ["dphys-swapfile"]}, WORKS,
         "swap on the card", "warning", "/dev/mmcblk0p3",
         "Remove /dev/mmcblk0p3 from /etc/fstab as well. sudo swapoff /dev/mmcblk0p3"),
        (PI4 | SWAP | {"etc": ["dphys-swapfile"]}, WORKS, "swap on the card", "warning",
         "/var/swap", " sudo dphys-swapfile swapoff && "),
        (PI5 | {"swaps": [("/my\\040swap", "file")], "root_device": "/dev/root",
                "files": {"proc/self/mountinfo": "25 1 179:2 / / rw - ext4 /dev/root rw\n"}}, WORKS,
         "swap on the card", "warning", "/my swap", "sudo swapoff '/my swap'"),
        (PI5 | {"alarm": 1}, WORKS, "under-voltage now", "warning", "voltage is too low.", "27 W"),
        (PI5 | {"governor": "ondemand"}, WORKS, "governor", "warning", "governor is ondemand",
         "echo performance | sudo tee /sys/devices/system/cpu"),
        (PI5 | {"throttled": 0x50005}, WORKS, "under-voltage now", "warning", "voltage is too low.",
         "27 W"),
        (PI4 | {"throttled": 0x10000}, WORKS, "under-voltage since", "warning",
         "too low at some moment since the start", "15 W"),
        (ZERO2W | {"throttled": None, "alarm": 1}, WORKS, "under-voltage now", "warning",
         "voltage is too low.", "12.5 W"),
        (PI5 | {"throttled": 0xE0008}, WORKS, "throttled now", "warning",
         "is slowed down by heat (soft temperature limit)", "cooling"),
        (PI5 | {"throttled": 0x40000}, WORKS, "throttled since", "warning",
         "was slowed down by heat at some", "cooling"),
        (PI5_NO_FAN | {"temp": 64.0}, WORKS, "no fan", "warning", "64 °C before the work",
         "Active Cooler"),
        (PI5 | {"temp": 74.0}, WORKS, "hot", "warning", "slows itself down from 80", "cooling"),
        (LAPTOP | {"temp": 85.0}, WORKS, "hot", "warning", "from 90", "cooling"),
        (PI5 | {"load": 2.5}, WORKS, "busy", "warning", "keep 2.5 of 4 cores busy", "top"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found_with_its_remedy(
    tmp_path, board, torch, about, level, words, remedy
):
    if board.get("throttled", 0) is None:
        board = {key: value for key, value in board.items() if key != "throttled"}
    found = {finding.about: finding for finding in examine(tmp_path, board, torch)}
    assert found[about].level == level
    assert words in found[about].found
    assert remedy in " ".join([found[about].advice, *found[about].commands])
    related = {"throttled now", "throttled since", "under-voltage now"}
    assert found.keys() - {about} <= (related if "throttled" in board else set())


def test_thread_variables_are_found_and_ours_are_not(tmp_path):
    environment = CLEAN | {
        "OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "7", "OMP_WAIT_POLICY": "active", "HOME": "/",
    }  # fmt: skip
    (finding,) = examine(tmp_path, PI5, environment=environment)
    assert finding.about == "thread variables"
    assert finding.commands == ("unset OMP_NUM_THREADS GOMP_SPINCOUNT OMP_WAIT_POLICY",)


def test_no_compiler_is_found(tmp_path):
    (finding,) = examine(tmp_path, PI5, environment={"CC": "no-such-compiler"})
    assert (finding.about, finding.commands) == (
        "no compiler", ("sudo apt install -y gcc libc6-dev",),
    )  # fmt: skip


@pytest.mark.parametrize(("free", "level"), [(900e6, "warning"), (20e6, "error")])
def test_a_full_card_is_found(tmp_path, monkeypatch, free, level):
    usage = shutil.disk_usage(tmp_path)._replace(free=int(free))
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: usage)
    (finding,) = examine(tmp_path, PI5)
    assert (finding.about, finding.level) == ("disk", level)
    assert f"{free / 1e6:.0f} MB are free" in finding.found


def test_a_folder_that_cannot_be_written_is_found(tmp_path, monkeypatch):
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and may(path, mode))
    (finding,) = examine(tmp_path, PI5)
    assert (finding.about, finding.level) == ("disk", "error")


def test_a_firmware_that_does_not_answer_is_found(tmp_path):
    put_board(tmp_path, PI4)
    root = tmp_path / "root"
    (tmp_path / "vcgencmd").write_text(
        "#!/bin/sh\necho 'Can not open device file: /dev/vcio'\nexit 1\n"
    )
    (finding,) = find(gather(root, vcgencmd_of(tmp_path), tmp_path, CLEAN), WORKS)
    assert (finding.about, finding.commands[0][:28]) == ("vcgencmd", "sudo usermod -aG video $USER")


def test_without_vcgencmd_it_claims_no_more_than_it_knows(ask_doctor):
    board = {key: value for key, value in PI5.items() if key != "throttled"}
    _, output = ask_doctor(board, WORKS)
    assert "52.3 °C, 2400 MHz, no under-voltage" in output


def test_where_installing_has_failed_it_says_what_is_missing():
    code = "import sys; sys.modules['psutil'] = None; import raspitrain.doctor.__main__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "")
    assert "the package psutil is not installed" in done.stdout
    assert "pip install -c constraints.txt -e ." in done.stdout


def test_a_32_bit_system_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(checks.sys, "maxsize", 2**31 - 1)
    (finding,) = examine(tmp_path, PI4)
    assert (finding.about, finding.level) == ("32-bit system", "error")
    assert "64-bit" in finding.advice


def test_a_gpu_is_no_fault_of_a_cuda_build(tmp_path):
    root = put_board(tmp_path, LAPTOP)
    (root / "dev").mkdir()
    (root / "dev/nvidia0").touch()
    assert find(gather(root, "none", tmp_path, CLEAN), CUDA) == []


def test_others_that_eat_the_cores_are_named():
    eater = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        taken, busiest = checks._busy(checks.ROOT)
    finally:
        eater.kill()
        eater.wait()
    assert taken is None or taken > 0.25
    assert taken is None or busiest or not checks._processor_times()  # hidden


# --- torch, in a process of its own ---


def python_that(tmp_path, script):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


FIRST = """echo '{"installed": true, "version": "2.10.0", "cuda": null, "gpu_packages_mb": 0}'"""


def test_the_torch_at_hand_is_seen_to_work():
    build = examine_torch(sys.executable)
    assert (build.installed, build.works, build.failure) == (True, True, None)
    assert build.version.startswith("2.")
    assert build.num_threads >= 1


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (f"{FIRST}; kill -ILL $$", "illegal instruction"),
        (f"{FIRST}; kill -KILL $$", "out of memory"),
        (f"{FIRST}; exit 132", "illegal instruction"),
        (f"{FIRST}; echo 'ImportError: libgomp.so.1' >&2; exit 1", "ImportError: libgomp.so.1"),
        (f"{FIRST}; exit 3", "exit code 3"),
        (f"{FIRST}; exec sleep 30", "too slow"),
    ],
)
def test_a_torch_that_dies_does_not_take_the_doctor_along(tmp_path, script, failure):
    seconds = 0.5 if failure == "too slow" else 60
    build = examine_torch(python_that(tmp_path, script), seconds=seconds)
    assert (build.version, build.works, build.failure) == ("2.10.0", False, failure)


@pytest.mark.parametrize("script", ["echo nonsense", "echo '{\"installed\": false}'", "exit 1"])
def test_where_there_is_no_torch_it_says_so(tmp_path, script):
    assert not examine_torch(python_that(tmp_path, script)).installed


def test_a_python_that_is_not_there_is_said():
    assert "cannot be run" in examine_torch("/nowhere/python").failure


def test_the_doctor_itself_needs_no_torch():
    code = "import sys, raspitrain.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


# --- the command ---


@pytest.fixture
def ask_doctor(tmp_path, monkeypatch, capsys):
    """ask_doctor(board, torch, *words) -> exit code, what is printed."""

    def ask(board, torch, *words):
        monkeypatch.setattr(doctor, "examine_torch", lambda python: torch)
        for name in (*checks.OUR_THREADS, *checks.thread_variables(os.environ)):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("CC", "sh")
        root = put_board(tmp_path, board)
        code = doctor.main([
            "--root", str(root), "--vcgencmd", vcgencmd_of(tmp_path), "--folder", str(tmp_path),
            *words,
        ])  # fmt: skip
        return code, capsys.readouterr().out

    return ask


@pytest.mark.parametrize(
    ("board", "torch", "code"),
    [(PI5, WORKS, 0), (PI5 | {"governor": "ondemand"}, WORKS, 1), (PI4, SIGILL, 2)],
)
def test_the_exit_code_tells_how_bad_it_is(ask_doctor, board, torch, code):
    told, output = ask_doctor(board, torch, "--json")
    record = json.loads(output)
    assert told == record["exit_code"] == code
    assert len(record["findings"]) == (code > 0)
    assert record["machine"]["model"] == board["model"]
    assert record["machine"]["readings"]["temperature_c"] == 52.3
    assert record["torch"]["version"] == torch.version


def test_people_read_what_it_is_and_what_to_do(ask_doctor):
    code, output = ask_doctor(PI4 | {"governor": "ondemand", "throttled": 0x50005}, SIGILL)
    lines = output.splitlines()
    assert code == 2
    assert lines[0] == "machine  Raspberry Pi 4 Model B Rev 1.4 (profile raspberrypi4)"
    assert "now      52.3 °C, 1800 MHz, under voltage, throttled" in lines
    assert "raspitrain will not work here: 1 error, 3 warnings." in lines
    first = next(line for line in lines if line.startswith("1."))
    assert first.startswith("1. ERROR torch 2.10.0 dies of an illegal instruction")
    assert f"      {sys.executable} -m pip install 'torch>=2.8,<2.10'" in lines
    code, output = ask_doctor(PI5, WORKS)
    assert output.endswith("Nothing found that would hurt a run.\n")
    assert "52.3 °C, 2400 MHz, not throttled, 3.1 W (estimate), with a fan" in output


def test_what_a_full_card_does_not_take_is_said(capsys):
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert doctor.main(["--json"]) == 74
    assert "standard output: No space left on device" in capsys.readouterr().err
