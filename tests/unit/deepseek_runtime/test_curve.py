"""The curve on the volume: every line of a short run, few of a long one, and nothing that a training waits for."""

import os
from pathlib import Path

import pytest

from deepseek_runtime.trainer import curve
from deepseek_runtime.trainer.curve import EVERY_STEP_UNTIL, Curve


def test_every_line_is_there_in_order(tmp_path: Path) -> None:
    path = tmp_path / "uid" / "incarnation" / "metrics.jsonl"
    one = Curve(path)
    for step in range(500):
        one.step(f"step {step}")
    one.add("end")
    one.close()
    assert path.read_text().splitlines() == [*(f"step {step}" for step in range(500)), "end"]


def test_of_many_quick_steps_one_a_second_is_kept_and_everything_else(tmp_path: Path) -> None:
    now = [0.0]
    one = Curve(tmp_path / "m", clock=lambda: now[0])
    for step in range(EVERY_STEP_UNTIL + 1000):
        now[0] = step / 100
        one.step(f"step {step}")
        if step % 500 == 0:
            one.add(f"evaluation {step}")
    one.close()
    lines = (tmp_path / "m").read_text().splitlines()
    assert len([line for line in lines if line.startswith("evaluation")]) == 4
    assert len(lines) == EVERY_STEP_UNTIL + 10 + 4 - 1


def test_no_line_no_file(tmp_path: Path) -> None:
    Curve(tmp_path / "m").close()
    assert not (tmp_path / "m").exists()


def test_a_volume_that_takes_nothing_costs_the_curve_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    one = Curve(tmp_path / "file" / "m")
    for _ in range(3):
        one.add("x")
    one.close()
    assert "ends here" in capsys.readouterr().err


def test_a_volume_that_hangs_holds_up_neither_steps_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "WAIT_S", 0.05)
    monkeypatch.setattr(curve, "_LIMIT", 100)
    os.mkfifo(tmp_path / "m")  # opening it for writing waits for a reader
    one = Curve(tmp_path / "m")
    for step in range(1000):
        one.add(f"step {step}")
    one.close()
    with (tmp_path / "m").open() as reader:  # lets the thread go
        assert len(reader.read().splitlines()) == 100
