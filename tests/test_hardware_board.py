"""Name, cores and memory of the machine, read from trees of files."""

import os

import psutil
import pytest

from raspitrain.hardware.board import available_cores, machine_model, memory_mb


def put(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_raspberry_pi_is_known_by_its_name(tmp_path):
    model = "Raspberry Pi 5 Model B Rev 1.0\0"
    assert machine_model(put(tmp_path, {"proc/device-tree/model": model})) == model[:-1]


def test_a_pc_is_known_by_its_processor(tmp_path):
    cpuinfo = "processor\t: 0\nmodel name\t: AMD Ryzen 5 5600\n"
    assert machine_model(put(tmp_path, {"proc/cpuinfo": cpuinfo})) == "AMD Ryzen 5 5600"


V2 = {"proc/self/cgroup": "0::/system.slice/run.service\n"}
V1 = {"proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/\n"}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        (V2, 8),
        (V2 | {"sys/fs/cgroup/system.slice/run.service/cpu.max": "max 100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/system.slice/run.service/cpu.max": "250000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n"}, 3),
        (V2 | {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        (V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"}, 8),
        (
            V1
            | {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
    ],
)
def test_cores_are_those_the_control_group_grants(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert available_cores(put(tmp_path, files)) == cores


def test_cores_are_those_the_affinity_grants(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3})
    assert available_cores(tmp_path) == 2


@pytest.mark.parametrize(
    ("files", "total", "available"),
    [
        (
            V2
            | {
                "sys/fs/cgroup/system.slice/memory.max": "5000000\n",
                "sys/fs/cgroup/system.slice/memory.current": "4000000\n",
                "sys/fs/cgroup/system.slice/memory.stat": "anon 7\ninactive_file 500000\n",
            },
            5.0,
            1.5,
        ),
        (
            V1
            | {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "3500000\n",
            },
            3.0,
            0.0,
        ),
    ],
)
def test_memory_is_what_the_control_group_grants(tmp_path, files, total, available):
    assert memory_mb(put(tmp_path, files)) == (total, available)


def test_memory_without_a_limit_is_the_machines(tmp_path):
    files = V2 | {
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "1\n",
    }
    total, available = memory_mb(put(tmp_path, files))
    assert total == psutil.virtual_memory().total / 1e6
    assert 0 < available < total
