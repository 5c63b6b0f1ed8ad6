"""Carries out a plan's actions through the cluster port: in order, up to the first failure.

Create-only semantics: an applied object is made only where its name counts as free, by a live read or as presumed, and
only while it is; later applies carry the uid, so that a successor under the same name is never touched.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import assert_never

from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.actions import Action, Apply, Create, Delete, Done, Failure, Reason
from deepseek_operator.core.drift import stamped
from deepseek_operator.core.ownership import is_child
from deepseek_operator.core.resources import KUBERNETES, Manifest, Ref, Resource, ref_of, uid_of
from deepseek_operator.ports.cluster import (
    NOWHERE,
    Cluster,
    ClusterError,
    Conflict,
    Forbidden,
    NotServed,
    QuotaExceeded,
    Rejected,
    Throttled,
)

log = logging.getLogger(__name__)
_MESSAGE_LENGTH = 1024


@dataclass(frozen=True)
class Executor:
    """Interprets actions for any kind, which `owns` what it makes."""

    cluster: Cluster
    mirror: Mirror
    owns: Sequence[Resource] = KUBERNETES

    async def execute(
        self, key: Key, owner_uid: str, actions: Sequence[Action], free: Collection[Ref] = frozenset()
    ) -> Done:
        """Carries out the actions of one look, which found the names `free`; API failures are values, all else is raised.

        What is known not to be served is not asked for: each of a thousand owners would ask in vain.
        """
        for action in actions:
            if (why := self.mirror.unserved(key.namespace).get(self._resource_of(action))) is not None:
                return Done(Failure(action, "NotServed", why[:_MESSAGE_LENGTH]))
            try:
                await self._carry_out(key, owner_uid, action, free)
            except ClusterError as error:
                log.warning("%s: %s failed: %s", key, _told(action), error)
                if isinstance(error, NotServed | Forbidden) and (resource := self._resource_of(action)).is_optional:
                    self.mirror.turn_away(resource, key)
                wait_s = error.retry_after_s if isinstance(error, Throttled) else 0.0
                return Done(Failure(action, reason_of(error), str(error)[:_MESSAGE_LENGTH], wait_s))
        return Done()

    async def _carry_out(self, key: Key, owner_uid: str, action: Action, free: Collection[Ref]) -> None:
        match action:
            case Create(manifest):
                await self._create(key, owner_uid, manifest)
            case Apply(manifest, uid):
                await self._apply(key, owner_uid, manifest, uid, free)
            case Delete(ref, uid, because, propagation):
                log.info("%s: deletes %s because %s", key, ref, because)
                await self.cluster.delete(ref.resource, key.namespace, ref.name, uid, propagation)
            case _:
                assert_never(action)

    def _resource_of(self, action: Action) -> Resource:
        return action.ref.resource if isinstance(action, Delete) else ref_of(action.manifest, self.owns).resource

    async def _create(self, key: Key, owner_uid: str, manifest: Manifest) -> None:
        ref = ref_of(manifest, self.owns)
        try:
            stored = await self.cluster.create(ref.resource, key.namespace, stamped(manifest))
        except Conflict:
            await self._ours_or_free(key, owner_uid, ref)
            return
        log.info("%s: created %s", key, ref)
        self.mirror.learn(key, ref.resource, stored)

    async def _apply(
        self, key: Key, owner_uid: str, manifest: Manifest, uid: str | None, free: Collection[Ref]
    ) -> None:
        ref = ref_of(manifest, self.owns)
        live_uid = uid or (None if ref in free else await self._ours_or_free(key, owner_uid, ref))
        wanted = stamped(manifest)
        # Who took a free name since it was read is left as they are.
        guard = {"resourceVersion": NOWHERE} if live_uid is None else {"uid": live_uid}
        wanted = {**wanted, "metadata": {**wanted["metadata"], **guard}}
        stored = await self.cluster.apply(ref.resource, key.namespace, wanted)
        log.info("%s: applied %s", key, ref)
        self.mirror.learn(key, ref.resource, stored)

    async def _ours_or_free(self, key: Key, owner_uid: str, ref: Ref) -> str | None:
        """The uid of our object at that name; None when the name is free. Conflict when somebody else has it."""
        live = await self.cluster.get(ref.resource, key.namespace, ref.name)
        if live is None:
            return None
        if not is_child(key.resource, key.name, owner_uid, ref.resource, live):
            raise Conflict(f"{ref} exists and is not ours: delete or rename it, or rename this {key.resource.kind}")
        self.mirror.learn(key, ref.resource, live)
        return uid_of(live)


def reason_of(error: ClusterError) -> Reason:
    """The word that a status uses for an API error."""
    match error:
        case QuotaExceeded():
            return "Quota"
        case Forbidden():
            return "Forbidden"
        case Conflict():
            return "Conflict"
        case Rejected():
            return "Rejected"
        case NotServed():
            return "NotServed"
        case Throttled():
            return "Throttled"
        case _:
            return "Failed"


def _told(action: Action) -> str:
    match action:
        case Create(manifest):
            return f"create {_name(manifest)}"
        case Apply(manifest):
            return f"apply {_name(manifest)}"
        case Delete(ref):
            return f"delete {ref}"
        case _:
            assert_never(action)


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"
