"""What a gang tries before it loads anything: told in numbers where it is well, with the node's name where it is not."""

import json
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deepseek_runtime.contract import Contract, read_contract
from deepseek_runtime.trainer import preflight
from deepseek_runtime.trainer.preflight import Unfit, check_devices
from tests.runtime.forked import Rank
from tests.runtime.observed import environment
from tests.runtime.workplace import Workplace, changed


def contract(volume: Path, **told: str) -> Contract:
    named = {"DEEPSEEK_NODE_NAME": "gpu-3", "DEEPSEEK_PREFLIGHT_SECONDS": "60"}
    return read_contract({**environment(volume), **named, **told})


def ranks(workplace: Workplace, folder: Path, **variables: str) -> list[Rank]:
    """A gang of two; the second one's node is gpu-1, and it hangs there where `hangs` is told."""
    hangs = variables.pop("hangs", None)
    few = {"hyperparameters.maxSteps": 1, "hyperparameters.globalBatchSize": 2}
    meeting = folder / "meeting"
    meeting.mkdir()
    made = []
    for rank in range(2):
        told = {
            **environment(folder / "volume"),
            "DEEPSEEK_PROCESSES_PER_NODE": "2",
            "DEEPSEEK_TRAINING_SPEC": json.dumps(changed(workplace.spec, few)),
            "DEEPSEEK_NODE_NAME": f"gpu-{rank}",
            "DEEPSEEK_RUN_DIRECTORY": str(meeting),
            "DEEPSEEK_PREFLIGHT_SECONDS": "60",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            **variables,
        }
        inside = hung if rank == 1 and hangs else nullcontext
        made.append(Rank(told, folder / f"rank-{rank}.log", inside=inside).start())
    return made


@contextmanager
def hung() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "_await", lambda *_: time.sleep(3600))
        yield


def test_a_gang_that_is_well_tells_what_it_measured_and_leaves_nothing(workplace: Workplace, tmp_path: Path) -> None:
    gang = ranks(workplace, tmp_path)
    assert [rank.ended(None) for rank in gang] == [0, 0], gang[0].log.read_text()
    (told,) = [event for event in gang[0].events if event["event"] == "preflight"]
    assert told["node"] == "gpu-0"
    for name in ("collective", "write", "read"):
        assert float(str(told[f"{name}MegabytesPerSecond"])) > 0
    assert not list((tmp_path / "volume" / "training-uid").glob("*preflight*"))


def test_a_rank_that_does_not_answer_is_named_with_its_node(workplace: Workplace, tmp_path: Path) -> None:
    gang = ranks(workplace, tmp_path, hangs="yes", DEEPSEEK_PREFLIGHT_SECONDS="2")
    assert gang[0].ended(None) == 1
    gang[1].kill()
    assert "preflight: no sign of rank 1 on node gpu-1 within 2 s" in gang[0].log.read_text()


def test_a_volume_that_is_too_slow_ends_every_rank_with_what_was_measured(workplace: Workplace, tmp_path: Path) -> None:
    gang = ranks(workplace, tmp_path, DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND="1000000")
    assert [rank.ended(None) for rank in gang] == [1, 1]
    for rank in gang:
        assert "preflight: node gpu-0 writes " in rank.log.read_text()
        assert "failurePolicy.minVolumeMegabytesPerSecond is 1000000" in rank.log.read_text()


@pytest.mark.parametrize("seen", [None, 0, 3, 7])
def test_devices_that_are_not_there_are_told_before_the_ranks_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: int | None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen is not None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    asked = contract(tmp_path, DEEPSEEK_DEVICES="8")
    with pytest.raises(Unfit, match=f"node gpu-3 shows {seen or 0} of the 8 devices that accelerator asks for"):
        check_devices(asked, {"RANK": "5"})
    check_devices(replace(asked, devices=seen or None), {})
    check_devices(replace(asked, preflight_s=0), {})


def test_a_volume_that_cannot_be_written_is_told_and_a_full_one_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    told = preflight._tried(contract(tmp_path / "file"))
    assert told.problem is not None
    assert told.problem.startswith("node gpu-3 can't use the checkpoint volume (")
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(preflight, "disk_usage", lambda _: usage(10**12, 10**12, 10**8))
    full = preflight._tried(contract(tmp_path))
    assert (full.write, full.read, full.problem) == (None, None, None)


def test_what_is_read_back_is_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(file: Path) -> float:
        file.write_bytes(b"x" * 100)
        return 1.0

    monkeypatch.setattr(preflight, "_written", torn)
    told = preflight._tried(contract(tmp_path))
    assert told.problem is not None
    assert "what was written is not what is read back" in told.problem
