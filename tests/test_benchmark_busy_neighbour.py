"""The benchmark beside a busy process, in its shortest form."""

import pytest

from benchmarks import busy_neighbour
from raspitrain.hardware.board import available_cores


@pytest.mark.long
def test_it_prints_both_tables_and_every_setting(capsys):
    command = "--model mobilenetv3_small_blog --batch-size 4 --waits null --rounds 1 --seconds 1"
    assert busy_neighbour.main([*command.split(), "--phases", "0.5", "0.5", "0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "torch " in lines[0]
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    settings, phases = rows[2 : 3 + available_cores()], rows[5 + available_cores() :]
    assert [row[0] for row in settings] == ["auto", *map(str, range(1, available_cores() + 1))]
    assert all(float(row[2]) > 0 and float(row[4]) > 0 for row in settings)
    assert max(float(row[3]) for row in settings[1:]) == 1.0
    assert [row[0] for row in phases] == ["alone", "neighbour came", "neighbour left"]
    assert any(line.startswith("changes: ") for line in lines)


def test_the_moment_of_recovery_is_the_first_that_lasts():
    reports = [(0.5 * n, rate) for n, rate in enumerate([9, 9, 1, 1, 1, 9, 9, 9, 1, 9, 9])]
    assert busy_neighbour.seconds_to(8, reports) == 3.5
    assert busy_neighbour.seconds_to(10, reports) is None
    assert busy_neighbour.seconds_to(8, reports[:4]) is None
