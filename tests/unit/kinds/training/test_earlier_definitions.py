"""The operator is newer than the definitions: they prune the record of a status, and nothing of it may be lost."""

from typing import Any

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.resources import Manifest, Resource
from tests.support.trainings import NAME, NAMESPACE, Life


class EarlierDefinitions:
    """Prunes what they do not know of a status, until `are_renewed`."""

    def __init__(self, life: Life) -> None:
        self._put = life.cluster.put_status
        self.are_renewed = False
        life.cluster.put_status = self.put_status  # type: ignore[method-assign]

    async def put_status(self, resource: Resource, manifest: Manifest) -> Manifest:
        status = {key: value for key, value in manifest["status"].items() if self.are_renewed or key != "record"}
        return await self._put(resource, {**manifest, "status": status})


def _stored(life: Life) -> dict[str, Any]:
    manifest = life.cluster.read(TRAINING, NAMESPACE, NAME)
    assert manifest is not None
    return dict(manifest["status"])


def test_records_stay_in_their_old_places_until_the_definitions_are_renewed_and_the_operator_is_restarted() -> None:
    life = Life()
    definitions = EarlierDefinitions(life)
    life.begin().running().crash(message='{"formatVersion":1,"message":"boom","latest":{"step":10}}')
    status = _stored(life)
    assert "record" not in status
    assert (status["uid"], [one["attempt"] for one in status["ancestry"]]) == (life.owner.metadata.uid, [1])
    assert status["attempt"]["jobUID"]
    life.later(10).running()
    assert (life.told[1], len(life.owner.status.ancestry)) == ("Running", 1)
    writes = len(life.cluster.writes)
    assert len(life.turn().cluster.writes) == writes, "and it comes to rest"

    definitions.are_renewed = True
    life.operator.restart()
    life.turn().complete()
    status = _stored(life)
    assert (status["result"], status["record"]["uid"], status.get("uid")) == ("Complete", life.owner.metadata.uid, None)
