"""The compiled reader of CSV: the same numbers, words and sentences as without it."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from raspitrain.data.files import csv_file, csv_rows
from raspitrain.data.files.csv_file import Table, read_table
from raspitrain.errors import InputError


def both(path: Path, monkeypatch, **given: object) -> list[Table | str]:
    """What the file holds: read without C, then with it."""
    outcomes: list[Table | str] = []
    for least in (1 << 62, 0):
        monkeypatch.setattr(csv_file, "LEAST_FOR_C", least)
        try:
            outcomes.append(read_table(path, **given))  # type: ignore[arg-type]
        except InputError as error:
            outcomes.append(str(error))
    return outcomes


def same(plain: Table | str, fast: Table | str) -> bool:
    if isinstance(plain, str) or isinstance(fast, str):
        return plain == fast
    columns = zip(plain.columns, fast.columns, strict=True)
    return (plain.names, plain.breaks, plain.notes) == (
        fast.names,
        fast.breaks,
        fast.notes,
    ) and all(
        (a.kind, a.words, a.wrong, a.values.tobytes())
        == (b.kind, b.words, b.wrong, b.values.tobytes())
        for a, b in columns
    )


def number(dice: random.Random) -> str:
    value = dice.choice(
        (dice.gauss(0, 1), dice.gauss(0, 1e9), dice.random() * 10 ** dice.randint(-320, 308))
    )
    form = dice.choice(
        ("{!r}", "{:.3f}", "{:.9E}", "{:.18e}", "{:.0f}", "{:+.2f}", " {!r} ", "{:.25f}")
    )
    return form.format(value)


def test_numbers_are_those_of_float_to_the_bit(tmp_path, monkeypatch):
    dice = random.Random(7)
    cells = [[number(dice) for _ in range(5)] for _ in range(4000)]
    cells[5] = ["9007199254740993", "1e22", "1e23", "-0", "0.1"]
    cells[6] = ["18446744073709551616", "4.9e-324", "1.7976931348623157e308", "1e400", ".5"]
    (tmp_path / "r.csv").write_text("a,b,c,d,e\n" + "".join(",".join(row) + "\n" for row in cells))
    plain, fast = both(tmp_path / "r.csv", monkeypatch)
    assert same(plain, fast)
    assert isinstance(fast, Table)
    expected = np.array([[float(cell) for cell in row] for row in cells]).T
    read = np.stack([column.values for column in fast.columns])
    assert read.tobytes() == expected.tobytes()
    assert math.copysign(1, read[3, 5]) == -1


ODD = ["", "nan", "NaN", "inf", "1_0", '"1.5"', '"1,5"', "1,5", "x", "1e", "1.2.3", "--1", "+", ".",
       "0x10", "１", "1 2", "# 1", "\t3", "ovf", "1,234", "987"]  # fmt: skip


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_whatever_lines_hold_is_read_as_without_it(separator, tmp_path, monkeypatch):
    dice = random.Random(ord(separator))
    for trial in range(60):
        rows = [
            [f"{dice.gauss(0, 99):.{dice.randint(0, 4)}f}" for _ in range(3)] for _ in range(40)
        ]
        for row, label in zip(rows, "aaabbcdd" * 5, strict=True):
            row.insert(1, {"a": "walk", "b": " run", "c": "", "d": "Übung"}[label])
        for _ in range(dice.randint(0, 3)):
            row = dice.choice([row for row in rows if len(row) > 3])
            row[dice.choice((0, 2, 3))] = dice.choice(ODD)
            dice.choice((row.clear, lambda: row.append(""), lambda: None, lambda: None))()  # noqa: B023
        text = separator.join(("time", "label", "x", "y")) + "\n"
        text += "\n".join(separator.join(row) for row in rows) + dice.choice(("\n", "", "\r\n"))
        if trial % 3 == 0 and separator != ",":
            text = text.replace(".", ",")
        (tmp_path / "r.csv").write_text(text, newline="")
        plain, fast = both(tmp_path / "r.csv", monkeypatch, as_text=["label"])
        assert same(plain, fast), (text, plain, fast)


def test_dates_and_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", 64)
    stamps = [f"2024-05-01T10:00:{k % 60:02d}.{k * 20 % 1000:03d}" for k in range(80)]
    lines = [f"{stamp},{k % 7},{'up' if k % 9 < 4 else 'down'}" for k, stamp in enumerate(stamps)]
    (tmp_path / "r.csv").write_text("\n".join(["about: a device", "when,x,way", *lines, "# end\n"]))
    plain, fast = both(tmp_path / "r.csv", monkeypatch)
    assert same(plain, fast)
    assert isinstance(fast, Table)
    assert [column.kind for column in fast.columns] == ["time", "number", "text"]


def test_without_a_compiler_files_are_read_all_the_same(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(csv_file, "LEAST_FOR_C", 0)
    monkeypatch.setattr(csv_rows, "library", csv_rows.library.__wrapped__)
    (tmp_path / "r.csv").write_text("x,y\n1,2\n3,4\n")
    assert read_table(tmp_path / "r.csv").columns[1].values.tolist() == [2, 4]
    assert "no C compiler called no-such-compiler" in caplog.text
