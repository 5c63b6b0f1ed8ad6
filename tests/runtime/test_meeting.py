"""Who takes part in a training: the ranks of its own pods, and nobody who only reaches their ports."""

import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.planner import WriteItemType

from deepseek_runtime.trainer import gang
from deepseek_runtime.trainer.wire import PlainUnpickler
from tests.runtime.elder import elder_pickle
from tests.runtime.pods import Attempt, is_step, spec, workers_of
from tests.runtime.workplace import Workplace
from tests.support.ports import free_port

LISTENS = "0A"


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._marker,)


class Calls:
    """Calls something when it is unpickled."""

    def __init__(self, *call: object) -> None:
        self._call = call

    def __reduce__(self) -> tuple[object, ...]:
        return self._call


@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "in an error"])
def test_what_a_rank_sends_is_not_executed(workplace: Workplace, tmp_path: Path, hidden: bool) -> None:
    evil: object = Evil(tmp_path / "executed")
    sent = OSError(evil) if hidden else evil
    with pytest.raises(pickle.UnpicklingError, match=r"a rank sent posix\.mkdir, which no rank of a training sends"):
        gang.gathered(sent)
    with pytest.raises(pickle.UnpicklingError):
        dist.scatter_object_list([None], [sent])
    assert not (tmp_path / "executed").exists()


def test_what_an_earlier_python_sends_is_read_and_its_getattr_reaches_nothing_else() -> None:
    kinds = list(WriteItemType)
    assert PlainUnpickler(BytesIO(elder_pickle(kinds))).load() == kinds
    for evil in ((WriteItemType, "__class__"), (OSError, "__init__"), (torch.Size, "numel")):
        with pytest.raises((pickle.UnpicklingError, KeyError)):
            PlainUnpickler(BytesIO(pickle.dumps(Calls(getattr, evil)))).load()


def test_error_that_a_rank_tells_arrives_whole(workplace: Workplace) -> None:
    (told,) = gang.gathered(OSError(28, "No space left on device"))
    assert isinstance(told, OSError)
    assert told.errno == 28


def test_pods_meet_under_the_uid_of_their_job() -> None:
    port = str(free_port())
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    told |= {"DEEPSEEK_JOB_UID": "the-uid-of-a-job", "DEEPSEEK_RUN_DIRECTORY": "/nowhere"}
    with ThreadPoolExecutor(2) as ranks:
        first, second = ranks.map(lambda rank: gang._meeting_place({**told, "RANK": rank}), ("0", "1"))
    first.set("address", "here")
    assert second.get("address") == b"here"
    stranger = dist.TCPStore("127.0.0.1", int(port), 2, is_master=False, wait_for_workers=False)
    assert not stranger.check(["address"])


def test_ranks_of_one_pod_listen_to_nobody_outside(tmp_path: Path) -> None:
    process = Attempt(tmp_path, 1, "alone", spec(maxSteps=30)).start()
    try:
        process.wait_for(lambda line: is_step(line, 1))
        heard = {address for worker in workers_of(process) for address in listening(worker)}
    finally:
        process.kill()
    assert heard == {"0100007F"}, "127.0.0.1 as the kernel writes it"


def listening(process_id: int) -> set[str]:
    """Addresses, in the kernel's hexadecimal form, at which a process waits for connections (see proc(5), net/tcp)."""
    links = [os.readlink(file) for file in Path(f"/proc/{process_id}/fd").iterdir() if file.is_symlink()]
    own = {found[1] for link in links if (found := re.fullmatch(r"socket:\[(\d+)\]", link))}
    tables = [Path(f"/proc/{process_id}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {row[1].partition(":")[0] for row in rows if row[3] == LISTENS and row[9] in own}
