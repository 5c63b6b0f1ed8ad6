"""Whether the claim that was written to is still that claim, and who can mount it."""

from typing import Any

import pytest

from deepseek_operator.workloads.batch.claim import is_for_one_node, is_shared
from deepseek_operator.workloads.batch.volume import Going, Gone, Loss, Replaced, loss


def a_claim(uid: str, *modes: str, going: bool = False) -> dict[str, Any]:
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}
    return {"metadata": {"name": "c", "uid": uid, **deleted}, "spec": {"accessModes": list(modes)}}


@pytest.mark.parametrize(
    ("uid", "claim", "expected"),
    [
        ("", None, None),
        ("", a_claim("u", going=True), None),
        ("u", a_claim("u"), None),
        ("u", None, Gone()),
        ("u", a_claim("v"), Replaced("v")),
        ("u", a_claim("v", going=True), Replaced("v")),
        ("u", a_claim("u", going=True), Going()),
    ],
)
def test_only_the_claim_that_was_recorded_is_trusted(
    uid: str, claim: dict[str, Any] | None, expected: Loss | None
) -> None:
    assert loss(uid, claim) == expected


@pytest.mark.parametrize(
    ("modes", "shared", "one_node"),
    [
        ((), False, False),
        (("ReadWriteOnce",), False, True),
        (("ReadWriteOncePod",), False, True),
        (("ReadWriteOnce", "ReadOnlyMany"), False, False),
        (("ReadWriteMany",), True, False),
        (("ReadWriteOnce", "ReadWriteMany"), True, False),
    ],
)
def test_who_can_mount_a_claim_is_read_off_its_access_modes(
    modes: tuple[str, ...], shared: bool, one_node: bool
) -> None:
    assert (is_shared(a_claim("u", *modes)), is_for_one_node(modes)) == (shared, one_node)
