"""What a person sees: a bar on a terminal, plain lines in a pipe, the log."""

import errno
import io
import logging
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest

from raspitrain.results import atomic
from raspitrain.results.log import logging_to
from raspitrain.results.screen import Screen, clock, evaluation_line, final_lines

ROOT = Path(__file__).parents[1]
ROW = {
    "epoch": 10,
    "step": 70,
    "lr": 0.003,
    "train_loss": 0.69314,
    "train_accuracy": 0.9,
    "validation_accuracy": None,
    "test_accuracy": 0.875,
    "samples_per_second": 1234.5,
    "seconds": 65.2,
}
SUMMARY = {
    "test_accuracy": 0.975,
    "status": "completed",
    "test_macro_f1": 0.9512,
    "chosen_epoch": 12,
    "chosen_model": "best on validation",
    "total_seconds": 3725.0,
    "samples_per_second": 1234.5,
}
LINE = "epoch 10/20  loss 0.6931  train 90.0 %  test 87.5 %  1,234 cases/s  0:01:05"

RUN = """
import logging, sys, threading, time
from raspitrain.results.screen import Screen
asked = 0
def loss():
    global asked
    asked += 1
    return 0.6931
with Screen(20, 10) as screen:
    for epoch in range(1, 21):
        for _ in range(10):
            time.sleep(0.004)
            screen.step(16, loss)
        screen.evaluation({"epoch": epoch, "train_loss": 0.5, "test_accuracy": 0.875,
                           "samples_per_second": 1234.5, "seconds": 65.2})
    threads = threading.active_count()
    screen.finish({"test_accuracy": 0.975, "status": "completed"}, sys.argv[1])
print(f"asked {asked} threads {threads}", file=sys.stderr)
"""


def on_a_terminal(arguments, columns=100, **environment):
    """Run Python with a pseudo-terminal as its standard output; return what was written to it."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    variables |= {"TERM": "xterm-256color", "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=variables | environment,
    )
    os.close(theirs)
    written = b""
    try:
        while select.select([ours], [], [], 30)[0]:
            try:
                block = os.read(ours, 65536)
            except OSError:  # Linux's way of saying that the other side is closed
                break
            if not block:
                break
            written += block
    finally:
        os.close(ours)
        assert process.wait(timeout=30) == 0, written.decode(errors="replace")
    return written


@pytest.fixture(scope="module")
def on_a_colour_terminal():
    return on_a_terminal(["-c", RUN, "outputs/[run]"]).decode()


def test_a_terminal_gets_a_bar_and_then_a_table(on_a_colour_terminal):
    written = on_a_colour_terminal
    assert "━" in written
    drawn = re.findall(r"epoch \d+/20 [^\r]*", written)
    # More than half a second of steps: redrawn now and then, never at every step.
    assert 3 <= len(drawn) < 150
    assert "loss 0.6931" in drawn[-1]
    assert "accuracy 87.5 %" in drawn[-1]
    assert "1,234 cases/s" in drawn[-1]
    assert re.search(r"\d:\d\d:\d\d left", drawn[-1])
    asked, threads = re.search(r"asked (\d+) threads (\d+)", written).groups()
    assert 1 <= int(asked) <= len(drawn)
    assert int(threads) == 1
    after = written[written.rindex("\x1b[?25h") :]  # the cursor is back
    assert re.search(r"test accuracy +97\.5 %\r\n", after)
    assert re.search(r"folder +outputs/\[run\]\r\n", after)
    assert "\x1b[?25l" not in after


def test_no_color_is_respected(on_a_colour_terminal):
    colored = re.compile(r"\x1b\[[0-9;]*[349][0-9]")
    assert colored.search(on_a_colour_terminal)
    assert not colored.search(on_a_terminal(["-c", RUN, "out"], NO_COLOR="1").decode())


@pytest.mark.parametrize("columns", [8, 40])
def test_the_bar_keeps_to_one_line_of_a_narrow_terminal(columns):
    written = on_a_terminal(["-c", RUN, "out"], columns=columns, NO_COLOR="1").decode()
    bar = written[: written.rindex("\x1b[?25h")]
    lines = [line for line in re.split(r"\r(?:\x1b\[2K)?|\x1b\[\?25l", bar) if line.strip()]
    assert len(lines) >= 2
    assert max(map(len, lines)) <= columns
    assert all(line.startswith("epoch") for line in lines)


def test_a_terminal_without_unicode_gets_ascii():
    settings = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    written = on_a_terminal(["-c", RUN, "outputs/Übung"], **settings)
    assert written.isascii()
    assert b"-----" in written
    assert rb"outputs/\xdcbung" in written


def test_a_dumb_terminal_gets_plain_lines():
    written = on_a_terminal(["-c", RUN, "out"], TERM="dumb")
    assert b"\x1b" not in written
    assert written.count(b"epoch ") == 20


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}])
def test_a_pipe_gets_a_plain_line_an_evaluation(environment):
    done = subprocess.run(
        [sys.executable, "-c", RUN, "out"],
        capture_output=True,
        check=True,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | environment,
    )
    written = done.stdout.decode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", written)
    lines = written.splitlines()
    assert lines[0] == "epoch 1/20  loss 0.5000  test 87.5 %  1,234 cases/s  0:01:05"
    assert [line.split()[1] for line in lines[:20]] == [f"{k}/20" for k in range(1, 21)]
    assert lines[20:23] == ["", "test accuracy  97.5 %", "folder         out"]
    assert done.stderr == b"asked 0 threads 1\n"


def test_a_reader_that_leaves_ends_the_show_and_not_the_run():
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    assert process.wait(timeout=30) == 0
    assert errors == "asked 0 threads 1\n"


class HungUp(io.StringIO):
    """A terminal whose other side is gone."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def write(self, text):
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_hangs_up_ends_the_show_and_not_the_run(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stdout = sys.stdout
    with Screen(2, 10, stream=HungUp()) as screen:
        for _ in range(10):
            screen.step(4, 0.5)
        screen.evaluation(ROW)
        assert sys.stdout is stdout
        screen.finish(SUMMARY, "out")
    assert sys.stdout is stdout


def test_a_terminal_that_hangs_up_later_ends_the_show(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = HungUp()
    stream.write = lambda text: len(text)
    stdout = sys.stdout
    with Screen(2, 10, stream=stream) as screen:
        del stream.write
        monkeypatch.setattr(screen, "drawn", time.monotonic() - 1)
        screen.step(4, 0.5)
        assert sys.stdout is stdout
        screen.step(4, 0.5)
        screen.evaluation(ROW)


def test_the_loss_is_asked_for_only_when_the_bar_is_redrawn(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    stream.isatty = lambda: True
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked = []

    def loss():
        asked.append(now)
        return 0.5

    with Screen(1, 1000, stream=stream) as screen:
        for _ in range(1000):
            now += 0.01
            screen.step(1, loss)
    assert 30 <= len(asked) <= 40  # ten seconds, four times a second
    assert "0:00:05 left" in stream.getvalue()
    assert "100 cases/s" in stream.getvalue()


def test_an_exception_gives_the_terminal_back(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    stream.isatty = lambda: True

    def interrupted():
        with Screen(1, 10, stream=stream):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_an_evaluation_in_one_line():
    assert evaluation_line(ROW, 20) == LINE
    assert evaluation_line({"epoch": 1, "train_loss": float("nan")}, 2) == "epoch 1/2  loss nan"


def test_the_final_table():
    assert final_lines(SUMMARY, Path("out")) == [
        "test accuracy  97.5 %",
        "macro F1       95.1 %",
        "model          epoch 12, best on validation",
        "time           1:02:05",
        "speed          1,234 cases/s",
        "folder         out",
    ]


def test_a_run_that_did_not_end_well_says_so_first():
    summary = {"test_accuracy": None, "status": "diverged", "reason": "the loss is NaN at step 7"}
    assert final_lines(summary, "out") == [
        "status         diverged: the loss is NaN at step 7",
        "folder         out",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.6, "0:01:00"), (360_000, "100:00:00"), (float("inf"), "0:00:00")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


# The log


def test_the_log_holds_every_evaluation_and_the_table(tmp_path, capsys):
    with logging_to(tmp_path), Screen(20, 7, stream=io.StringIO()) as screen:
        screen.evaluation(ROW)
        screen.finish(SUMMARY, tmp_path)
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert len(lines) == 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO " + re.escape(LINE), lines[0])
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_warnings_go_to_the_log_and_to_standard_error(tmp_path, capsys):
    log = logging.getLogger("raspitrain")
    with logging_to(tmp_path):
        log.info("kept")
        log.info("a class \udc80")
        log.getChild("data").warning("a class ü")
    log.info("not kept")
    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "INFO kept" in text
    assert "INFO a class \\udc80" in text
    assert "WARNING a class ü" in text
    assert "not kept" not in text
    assert capsys.readouterr().err == "a class ü\n"


def test_logging_is_as_before_afterwards(tmp_path):
    log = logging.getLogger("raspitrain")
    before = (list(log.handlers), log.level, log.propagate)
    with logging_to(tmp_path):
        pass
    assert (list(log.handlers), log.level, log.propagate) == before


def test_a_full_card_is_told_once_and_the_run_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(atomic, "open_own", lambda path, flags: os.open("/dev/full", flags))
    with logging_to(tmp_path):
        for _ in range(3):
            logging.getLogger("raspitrain").info("a line")
    errors = capsys.readouterr().err
    assert errors.count("cannot be written: No space left on device") == 1
    assert "Traceback" not in errors
