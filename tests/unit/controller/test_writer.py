"""Who took the Lease has the fence told before anything is written, and never in a successor's place."""

import asyncio
from copy import deepcopy

import pytest

from deepseek_operator.controller.fence import NotLeading
from deepseek_operator.controller.writer import SINCE, WRITER, Writer
from deepseek_operator.core.resources import Manifest
from deepseek_operator.ports.cluster import Conflict, Unreachable
from tests.support.virtual_time import in_virtual_time


class Accounts:
    """One ServiceAccount, or none; it can't be reached `silent` times."""

    def __init__(self, annotations: dict[str, str] | None, silent: int = 0) -> None:
        self.annotations = annotations
        self.version = 1
        self.asked = 0
        self._silent = silent

    async def read_account(self, namespace: str, name: str, timeout_s: float) -> Manifest | None:
        self.asked += 1
        if self.asked <= self._silent:
            raise Unreachable("timeout")
        assert (namespace, name) == ("system", "operator-writer")
        if self.annotations is None:
            return None
        metadata = {"name": name, "resourceVersion": str(self.version), "annotations": dict(self.annotations)}
        return {"metadata": metadata, "automountServiceAccountToken": False}

    async def write_account(self, account: Manifest, timeout_s: float) -> None:
        if account["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("the object has been modified")
        assert account["automountServiceAccountToken"] is False
        self.tell(account["metadata"]["annotations"])

    def tell(self, annotations: dict[str, str]) -> None:
        self.annotations, self.version = deepcopy(annotations), self.version + 1


def writer(accounts: Accounts, account: str = "operator-writer", since: int = 10, left_s: float = 14.0) -> Writer:
    """Of the pod `two`, which took the Lease at that version; the Lease is renewed by nobody meanwhile."""
    began = asyncio.get_running_loop().time()

    def left() -> float:
        return max(0.0, left_s - (asyncio.get_running_loop().time() - began))

    return Writer(accounts, "system", account, "two", left, 5.0, lambda: ("lease", since))


@in_virtual_time
async def test_it_is_named_with_the_version_at_which_it_took_the_lease_and_what_others_wrote_stays() -> None:
    accounts = Accounts({WRITER: "one", SINCE: "lease/4", "team": "platform"})
    await writer(accounts).claim()
    assert accounts.annotations == {WRITER: "two", SINCE: "lease/10", "team": "platform"}


@in_virtual_time
async def test_whoever_was_named_already_is_named_anew() -> None:
    accounts = Accounts({WRITER: "two", SINCE: "lease/4"})
    await writer(accounts).claim()
    assert accounts.annotations == {WRITER: "two", SINCE: "lease/10"}


@in_virtual_time
async def test_without_a_fence_nobody_is_asked_and_without_its_account_it_leads_all_the_same() -> None:
    accounts = Accounts({})
    await writer(accounts, account="").claim()
    assert accounts.asked == 0
    await writer(Accounts(None)).claim()


@in_virtual_time
async def test_a_successor_is_never_overwritten_by_who_was_frozen_with_a_clock_that_stood_still() -> None:
    accounts = Accounts({WRITER: "three", SINCE: "lease/11"})
    with pytest.raises(NotLeading, match="three took the lease after us"):
        await writer(accounts).claim()
    assert accounts.annotations == {WRITER: "three", SINCE: "lease/11"}


class Overtaken(Accounts):
    """Between our reading and our write the other is named."""

    async def write_account(self, account: Manifest, timeout_s: float) -> None:
        if self.version == 1:
            self.tell({WRITER: "three", SINCE: "lease/11"})
        await super().write_account(account, timeout_s)


@in_virtual_time
async def test_nor_by_who_was_frozen_between_reading_and_writing() -> None:
    accounts = Overtaken({})
    with pytest.raises(NotLeading):
        await writer(accounts).claim()
    assert accounts.annotations == {WRITER: "three", SINCE: "lease/11"}


@in_virtual_time
async def test_an_api_server_that_is_away_for_a_moment_is_asked_again() -> None:
    accounts = Accounts({}, silent=3)
    await writer(accounts).claim()
    assert accounts.annotations == {WRITER: "two", SINCE: "lease/10"}


@in_virtual_time
async def test_who_can_not_tell_it_while_enough_of_the_lease_is_left_does_not_lead() -> None:
    accounts = Accounts({}, silent=18)
    with pytest.raises(NotLeading):
        await writer(accounts).claim()
    assert accounts.annotations == {}


@in_virtual_time
async def test_what_somebody_wrote_in_place_of_a_version_hinders_nobody() -> None:
    accounts = Accounts({WRITER: "one", SINCE: "soon"})
    await writer(accounts).claim()
    assert accounts.annotations == {WRITER: "two", SINCE: "lease/10"}


@in_virtual_time
async def test_what_a_backup_of_another_cluster_brought_hinders_nobody() -> None:
    for since in ("lease-of-the-other-cluster/5000", "5000"):
        accounts = Accounts({WRITER: "three", SINCE: since})
        await writer(accounts).claim()
        assert accounts.annotations == {WRITER: "two", SINCE: "lease/10"}
