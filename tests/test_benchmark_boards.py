"""The simulation of many boards: by hand where that can be done, and the page's table."""

from pathlib import Path

import pytest

from benchmarks.boards import (
    Job,
    best_packing,
    main,
    options,
    sweep_seconds,
    sync_seconds,
    train_together,
)
from raspitrain.sweep.queue import SURELY_OVER_SECONDS

FREE = ("--start-seconds", "0", "--coordinator-seconds", "0", "--data-mb", "0", "--speeds", "1")


def test_jobs_go_to_whichever_board_is_free() -> None:
    given = options(FREE)
    jobs = [Job(k, work) for k, work in enumerate([30.0, 10.0, 10.0, 10.0])]
    assert sweep_seconds(jobs, [1.0, 1.0], given, losses=False) == 30
    assert best_packing(jobs, [1.0, 1.0]) == 30
    # The long one last: what a queue that knows no times costs.
    late = [Job(k, work) for k, work in enumerate([10.0, 10.0, 10.0, 30.0])]
    assert sweep_seconds(late, [1.0, 1.0], given, losses=False) == 40
    # The faster board's 20 s of work take it 10, and 30 more are too many for the slower.
    assert best_packing([Job(0, 20.0)], [2.0, 1.0]) == 10
    assert best_packing([Job(0, 20.0), Job(1, 10.0)], [2.0, 1.0]) == 10


def test_a_lost_board_costs_what_its_checkpoint_does_not_hold_and_the_wait() -> None:
    given = options([*FREE, "--days-between-losses", "0.01", "--back-after-minutes", "1e6"])
    calm = sweep_seconds([Job(0, 6000.0)], [1.0, 1.0], given, losses=False)
    job = Job(0, 6000.0)
    hit = sweep_seconds([job], [1.0, 1.0, *[1.0] * 50], given)
    assert hit > calm + SURELY_OVER_SECONDS
    assert job.done % 300 == 0  # of whole checkpoints
    assert hit == sweep_seconds([Job(0, 6000.0)], [1.0, 1.0, *[1.0] * 50], given)


def test_one_model_is_as_fast_as_its_arithmetic_says() -> None:
    given = options(["--speeds", "1", "--step-spread", "0", "--step-ms", "45"])
    assert 1e3 * sync_seconds(2, given) == pytest.approx(51.6, abs=0.1)
    assert 1e3 * sync_seconds(4, given) == pytest.approx(78.8, abs=0.1)
    together = train_together(2, 8, given, losses=False)
    gain = 2 * 45 / (45 + 1e3 * sync_seconds(2, given) / 8)
    assert 86400 * given.days / together.seconds == pytest.approx(gain, rel=1e-3)
    lossy = options(["--speeds", "1", "--step-spread", "0", "--days-between-losses", "1"])
    assert train_together(8, 8, lossy).seconds > train_together(8, 8, lossy, losses=False).seconds
    assert train_together(8, 8, lossy).num_losses > 0


def test_the_page_s_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "boards.md").read_text()
    assert main([]) == 0
    printed = capsys.readouterr().out.strip()
    assert page.split("<!-- boards -->\n")[1].split("\n<!-- /boards -->")[0] == printed
