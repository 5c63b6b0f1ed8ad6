"""Data is prepared by one rank while the others wait for it, whatever happens to their pods meanwhile."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from deepseek_runtime.contract import ExitCode
from tests.runtime.pods import Attempt, spec
from tests.support.ports import free_port

FEW, MANY = 200, 100_000


def asked(folder: Path, lines: int, *, data: Mapping[str, object], last: str | None = None) -> str:
    file = folder / "lines.jsonl"
    with file.open("w") as stream:
        stream.writelines(json.dumps({"prompt": f"{n}=", "completion": f"{n * 7}"}) + "\n" for n in range(lines))
        stream.write(f"{last}\n" if last else "")
    document = json.loads(spec(maxSteps=3, warmupSteps=0, globalBatchSize=8, precision="fp32"))
    datasets = [{"source": {"path": str(file)}}]
    return json.dumps({**document, "datasets": datasets, "data": data})


def folders(volume: Path) -> list[str]:
    return sorted(one.name for one in (volume / "datasets").iterdir())


def is_preparing(line: str) -> bool:
    return '"event": "preparing"' in line


def test_ranks_of_two_pods_map_what_the_first_has_made_and_see_the_batches_of_one(tmp_path: Path) -> None:
    losses = []
    for nodes, name in ((1, "one"), (2, "two")):
        volume = tmp_path / name
        volume.mkdir()
        text = asked(volume, FEW, data={"deduplicate": "Near", "packing": "Documents"})
        attempt, port = Attempt(volume, 1, name, text, nodes=nodes, processes=1), free_port()
        pods = [attempt.start(node, port) for node in range(nodes)]
        assert [pod.ended() for pod in pods] == [ExitCode.COMPLETE] * nodes, pods[0].log
        losses.append(pods[0].losses)
    assert losses[0].keys() == losses[1].keys() == {1, 2, 3}
    for step, loss in losses[0].items():
        assert losses[1][step] == pytest.approx(loss, abs=1e-6)
    assert folders(tmp_path / "one") == folders(tmp_path / "two")


def test_broken_line_ends_every_pod_with_its_number(tmp_path: Path) -> None:
    text = asked(tmp_path, FEW, data={}, last='{"prompt": "a"}')
    attempt, port = Attempt(tmp_path, 1, "first", text, nodes=2, processes=1), free_port()
    pods = [attempt.start(node, port) for node in range(2)]
    assert [pod.ended() for pod in pods] == [ExitCode.INVALID] * 2
    for node in range(2):
        assert f"line {FEW + 1} has no 'completion'" in str(attempt.termination(node)["message"])
    assert folders(tmp_path) == []


def test_kill_while_data_is_prepared_leaves_what_the_next_attempt_makes_anew(tmp_path: Path) -> None:
    text = asked(tmp_path, MANY, data={"deduplicate": "Exact"})
    first = Attempt(tmp_path, 1, "first", text).start()
    first.wait_for(is_preparing)
    first.kill()
    (torn,) = folders(tmp_path)
    assert torn.startswith("_tmp-first-")
    second = Attempt(tmp_path, 2, "second", text, ancestry=((1, "first"),)).start()
    assert second.ended() == ExitCode.COMPLETE, second.log
    assert folders(tmp_path) == [torn.removeprefix("_tmp-first-")]


def test_sigterm_while_data_is_prepared_ends_at_once(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 1, "first", asked(tmp_path, MANY, data={"deduplicate": "Near"}))
    pod = attempt.start()
    pod.wait_for(is_preparing)
    pod.terminate()
    assert pod.ended() == ExitCode.SAVED
    assert not pod.losses
    assert "before the first step" in str(attempt.termination()["message"])
