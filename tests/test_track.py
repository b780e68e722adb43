"""Trackers: what a folder holds, sent once, whatever the server does meanwhile."""

import json
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import TINY

from raspitrain.results.json_file import write_json
from raspitrain.results.table import append_row, read_rows
from raspitrain.track.__main__ import main
from raspitrain.track.tensorboard import _checksum


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "step": 3 * epoch, "lr": 0.1, "train_loss": 1 / epoch, "seconds": 2.5}


@pytest.fixture
def run(tmp_path):
    """A run's folder in mid-run, two evaluations old."""
    return make_run(tmp_path / "night")


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\nmodel:\n  table: small\n")
    (folder / "overrides.yaml").write_text("- seed=0\n")
    for epoch in (1, 2):
        append_row(folder / "metrics.csv", row(epoch))
    return folder


def end(folder: Path, status: str = "completed") -> None:
    append_row(folder / "metrics.csv", row(3))
    write_json(folder / "summary.json", {"test_accuracy": 0.75, "status": status, "steps": 9})


def scalars(path: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of an event file, its checksums held against the data."""
    found, data, at = [], path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert data[at + 8 : at + 12] == _checksum(data[at : at + 8])
        event = data[at + 12 : at + 12 + length]
        assert data[at + 12 + length : at + 16 + length] == _checksum(event)
        at += 16 + length
        fields = list(protocol_fields(event))
        step = next(value for number, value in fields if number == 2)
        for summary in (value for number, value in fields if number == 5):
            for _, value in protocol_fields(summary):
                inner = dict(protocol_fields(value))
                if 2 in inner:
                    found.append((step, inner[1].decode(), struct.unpack("<f", inner[2])[0]))
    return found


def protocol_fields(data: bytes):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        yield key >> 3, data[at : at + size]
        at += size


def test_checksums_are_those_of_the_format():
    # CRC-32C of the digits 1 to 9 is e3069283; the format rotates it and adds a constant.
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _checksum(b"123456789") == struct.pack("<I", masked)


def test_an_event_file_holds_every_row_once(run):
    assert main([str(run), "tracker=tensorboard"]) == 0
    assert main([str(run), "tracker=tensorboard"]) == 0
    end(run)
    assert main([str(run), "tracker=tensorboard"]) == 0
    assert main([str(run), "tracker=tensorboard"]) == 0
    (path,) = run.glob("events.out.tfevents.*")
    losses = [(step, value) for step, tag, value in scalars(path) if tag == "train/loss"]
    assert losses == [(3, 1.0), (6, 0.5), (9, pytest.approx(1 / 3))]
    assert [v for _, tag, v in scalars(path) if tag == "summary/test_accuracy"] == [0.75]


class Server(ThreadingHTTPServer):
    """As much of an MLflow server as tells what was sent, and that can be out of order."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[tuple[str, dict]] = []
        self.broken = False
        self.num_runs = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def sent(self, name: str) -> list[tuple[int, float]]:
        return [
            (metric["step"], metric["value"])
            for path, body in self.calls
            if path.endswith("log-batch")
            for metric in body.get("metrics", ())
            if metric["key"] == name
        ]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.broken:
            return self.answer(503, {"message": "down"})
        name = self.path.removeprefix("/api/2.0/mlflow/")
        if name == "experiments/create" and self.server.calls:
            return self.answer(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})
        self.server.calls.append((name, body))
        if name == "runs/create":
            self.server.num_runs += 1
            return self.answer(200, {"run": {"info": {"run_id": f"r{self.server.num_runs}"}}})
        return self.answer(200, {"experiment_id": "7"})

    def do_GET(self):
        self.answer(200, {"experiment": {"experiment_id": "7"}})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        yield server
        server.shutdown()


def test_a_server_gets_every_row_once_whatever_happens_to_it(run, server, capsys):
    words = [str(run), "tracker=mlflow", f"tracker.url={server.url}"]
    assert main(words) == 0
    server.broken = True
    end(run)
    assert main(words) == 75
    assert "the same command sends the rest" in capsys.readouterr().err
    server.broken = False
    assert main(words) == 0
    assert main(words) == 0
    assert server.sent("train_loss") == [(3, 1.0), (6, 0.5), (9, 1 / 3)]
    assert server.sent("summary.test_accuracy") == [(9, 0.75)]
    assert server.num_runs == 1
    assert server.calls[-1] == ("runs/update", {"run_id": "r1", "status": "FINISHED"})
    params = [p for path, body in server.calls for p in body.get("params", ())]
    assert {"key": "model.table", "value": "small"} in params


def test_a_resumed_run_sends_what_is_new(run, server):
    words = [str(run), "tracker=mlflow", f"tracker.url={server.url}"]
    end(run, "interrupted")
    assert main(words) == 0
    append_row(run / "metrics.csv", row(4))
    write_json(run / "summary.json", {"test_accuracy": 1.0, "status": "completed", "steps": 12})
    assert main(words) == 0
    assert [step for step, _ in server.sent("train_loss")] == [3, 6, 9, 12]
    assert [body["status"] for path, body in server.calls if path == "runs/update"] == [
        "KILLED",
        "FINISHED",
    ]


def test_a_sweep_is_a_parent_with_children(tmp_path, server):
    sweep = tmp_path / "lr"
    jobs = []
    for number in range(3):
        end(make_run(sweep / f"seed={number}"))
        jobs.append({"number": number, "folder": f"seed={number}", "status": "completed"})
    jobs.append({"number": 3, "folder": "../outside", "status": "completed"})
    write_json(
        sweep / "jobs.json",
        {"format": "raspitrain sweep", "format_version": 1, "name": "lr", "jobs": jobs},
    )
    assert main([str(sweep), "tracker=mlflow", f"tracker.url={server.url}"]) == 0
    created = [body for path, body in server.calls if path == "runs/create"]
    parents = [{t["key"]: t["value"] for t in b["tags"]}.get("mlflow.parentRunId") for b in created]
    assert parents == [None, "r1", "r1", "r1"]


def test_following_ends_with_the_run(run):
    process = subprocess.Popen(
        [sys.executable, "-m", "raspitrain.track", str(run), "tracker=tensorboard", "--follow"]
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    end(run)
    assert process.wait(30) == 0
    (path,) = run.glob("events.out.tfevents.*")
    assert [step for step, tag, _ in scalars(path) if tag == "train/loss"] == [3, 6, 9]


def test_a_strangers_folder_leads_nowhere(run, tmp_path):
    """Neither a name in tracker.json nor a link makes the tracker write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for run_id in (str(victim), "../victim"):
        (run / "tracker.json").write_text(json.dumps({"tensorboard": {"run_id": run_id}}))
        assert main([str(run), "tracker=tensorboard"]) == 0
    name = "events.out.tfevents.1.a.raspitrain"
    (run / name).symlink_to(victim)
    (run / "tracker.json").write_text(json.dumps({"tensorboard": {"run_id": name}}))
    assert main([str(run), "tracker=tensorboard"]) == 75
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tracker=tensorbord"], "did you mean tensorboard?"),
        (["tracker=mlflow"], "tracker.url is not given"),
        (["tracker=mlflow", "tracker.url=pc:5000"], "tracker.url must begin with http"),
        (
            ["tracker=tensorboard", "tracker.url=x"],
            "is not a key of tracker=tensorboard",
        ),
        (["url=x"], "give tracker=NAME once"),
    ],
)
def test_mistakes_end_in_a_sentence(run, words, said, capsys):
    assert main([str(run), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main([str(tmp_path), "tracker=tensorboard"]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err


def test_a_run_keeps_its_event_file_up(forked_command, tmp_path):
    done = forked_command(*TINY, "tracker=tensorboard", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "run").glob("events.out.tfevents.*")
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    found = [(step, value) for step, tag, value in scalars(path) if tag == "test/accuracy"]
    assert found == [(row["step"], pytest.approx(row["test_accuracy"])) for row in rows]
    assert main([str(tmp_path / "run"), "tracker=tensorboard"]) == 0
    assert [(s, v) for s, tag, v in scalars(path) if tag == "test/accuracy"] == found
