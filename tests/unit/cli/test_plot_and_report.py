"""`plot` and `report` from end to end over HTTP, of a training that a real operator brought there on a memory cluster."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_operator.cli.kubectl import main
from tests.support.served_life import Served, lines, serving
from tests.support.trainings import NAME, NAMESPACE, Life


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Attempt 1 crashed in its rank 0, attempt 2 runs."""
    life = Life().begin().running().crash(rank=0, message="boom").later(60).running()
    with serving(life, tmp_path / "kubeconfig") as served:
        yield served


def said(served: Served, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, told = served.asked(*arguments), capsys.readouterr()
    assert code == 0, told.err
    return told.out


def test_a_loss_is_drawn_over_its_restarts(served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    served.logs = {served.rank_0(1): lines(1, 40), served.rank_0(2): lines(31, 90)}
    plain = json.loads(said(served, capsys, "plot", NAME, "-o", "json"))
    ends = [(one["number"], one["points"][0]["step"], one["points"][-1]["step"]) for one in plain["attempts"]]
    assert ends == [(1, 1, 40), (2, 31, 90)]
    drawn = said(served, capsys, "plot", NAME, "--width", "90")
    assert f"training/{NAME}: training loss, nats per token" in drawn
    assert "↻ " in drawn
    assert "attempt 2: steps 31 to 90, loss 16.13 to 5.556, under way (from the log)" in drawn
    assert "\x1b" not in drawn, "what is no terminal gets no colours"
    picture, copied = tmp_path / "x.png", tmp_path / "metrics.jsonl"
    assert said(served, capsys, "plot", NAME, "--png", str(picture)).startswith(str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    copied.write_text(lines(1, 20))
    from_file = json.loads(said(served, capsys, "plot", NAME, "--file", f"1={copied}", "-o", "json"))
    assert len(from_file["attempts"][0]["points"]) == 20


def test_without_any_line_there_is_nothing_to_draw(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.asked("plot", NAME) == 1
    assert "has no loss to draw yet" in capsys.readouterr().err


def test_a_report_has_all_but_secrets_and_prompts(
    served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    crashed = served.rank_0(1)
    served.logs = {crashed: lines(1, 40)}
    archive = tmp_path / "report.tar.gz"
    assert said(served, capsys, "report", NAME, "--out", str(archive)).strip() == str(archive)
    assert served.asked("report", NAME, "--out", str(archive)) == 1, "a file that is there is kept"
    with tarfile.open(archive) as opened:
        files = {one.name.partition("/")[2]: opened.extractfile(one) for one in opened.getmembers()}
        texts = {name: stream.read().decode() for name, stream in files.items() if stream is not None}
    assert texts.keys() > {"README.txt", "status.txt", "object.yaml", "children.yaml", "warnings.yaml", "versions.txt"}
    (log,) = [text for name, text in texts.items() if name.startswith(f"logs/{crashed}.")]
    assert '"step": 40' in log
    assert "out of memory with [left out]" in log
    everything = "".join(texts.values())
    assert "secret prompt" not in everything
    assert "hf_abc" not in everything
    assert f"training/{NAME} in {NAMESPACE}" in texts["README.txt"]
    assert "Kubernetes v1.36.1" in texts["versions.txt"]
    assert archive.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["x", "x=y", "1"])
def test_a_file_without_its_attempt_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plot", NAME, "--file", text])
    assert "write the attempt's number" in capsys.readouterr().err
