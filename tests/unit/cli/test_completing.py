"""What a shell is offered, without a cluster: its names are tried on a real API server."""

import pytest

from deepseek_operator.cli.completing import FILES, NO_FILES, completed


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], ["status", NO_FILES]),
        (["status", "--out"], ["--output", NO_FILES]),
        (["status", "-o", ""], ["json", "yaml", NO_FILES]),
        (["key", "re"], ["revoke", NO_FILES]),
        (["ben"], ["bench", NO_FILES]),
        (["bench", "x", "-o", ""], ["json", "patch", NO_FILES]),
        (["plan", "-f", ""], [FILES]),
        (["plot", "x", "--png", ""], [FILES]),
        (["logs", "x", "--attempt", ""], [NO_FILES]),
        (["logs", "x", "-f", "--ta"], ["--tail", NO_FILES]),
        (["nonsense", ""], [NO_FILES]),
    ],
)  # fmt: skip
def test_commands_options_and_choices_are_offered(words: list[str], offered: list[str]) -> None:
    assert list(completed(words)) == offered


def test_all_commands_are_offered_at_the_beginning() -> None:
    assert {"status", "logs", "top", "plot", "report", "watch", "promote"} <= set(completed([""]))


def test_a_cluster_that_does_not_answer_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert list(completed(["status", ""])) == [NO_FILES]
