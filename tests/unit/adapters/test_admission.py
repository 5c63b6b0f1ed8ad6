"""What `plan -f` says of what people write wrongly; that the server says the same is held by tests/api_server."""

import pytest

from deepseek_operator.adapters.admission import Admitted, Refused, admit
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import Object, changed, minimal_serving, minimal_training
from tests.support.mistakes import MISTAKES


@pytest.mark.parametrize(("manifest", "changes", "words"), MISTAKES)
def test_a_mistake_is_answered_with_what_to_write(manifest: Object, changes: Object, words: str | None) -> None:
    answer = admit(changed(manifest, changes), KINDS.definitions)
    if words is None:
        return
    assert isinstance(answer, Refused)
    assert words in "\n".join((*answer.reasons, *answer.hints))


@pytest.mark.parametrize("manifest", [minimal_training(), minimal_serving()], ids=lambda manifest: manifest["kind"])
def test_what_is_let_in_has_its_defaults(manifest: Object) -> None:
    answer = admit(manifest, KINDS.definitions)
    assert isinstance(answer, Admitted)
    assert answer.manifest["status"]["observedGeneration"] == -1


@pytest.mark.parametrize("null", ["spec.suspend", "spec.checkpoints", "spec.trainer"])
def test_a_null_counts_as_absent(null: str) -> None:
    manifest = minimal_training()
    manifest["spec"][null.partition(".")[2]] = None
    assert isinstance(admit(manifest, KINDS.definitions), Admitted)


def test_another_version_is_none_of_ours() -> None:
    with pytest.raises(KeyError):
        admit({**minimal_training(), "apiVersion": "deepseek-operator.io/v9"}, KINDS.definitions)
