"""Gathers every fact of one pass into a `Seen`: from the mirror for what converges, live for what is final.

A live look asks the API server for the owner, for its children by label where there may be any number of them and where
any can be (a list costs the server a walk over the namespace, and a new owner has none), for each
wanted or known name that those lack, for the pods of its Jobs by the Job's uid (a pod whose label somebody removed still
writes), and for the references. What it learns goes into the mirror too. Nobody is asked for an optional resource that
can't be had. Whatever was found, `ownership` says what of it is the owner's.

Names that an owner's children take are not asked for while nobody has said a word of it and no watch has told of them: what
is made there is made only if the server knows nobody of that name. Where it refuses, all of them are asked for.

A pass that has looked live and acted on it looks again a moment later, and nobody else acts for this owner meanwhile: a
`renewed` look asks only for what the one before it did not, and takes the rest from the mirror, which knows all that
was read and what became of each write. That holds for `FRESH_S`; later everything is asked for again.

What lost its labels before the process began is told by no watch, and at rest nothing asks for a live look. So the first
pass over an owner asks by name for whatever the status records and the mirror lacks: nothing, where all is well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from deepseek_operator.controller.bucket import Buckets
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.pulls import Pulls
from deepseek_operator.controller.readings import Readings
from deepseek_operator.controller.view import Reading, View
from deepseek_operator.core.kept import TooLarge, kept
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.ownership import is_anothers, is_child, job_uid_of
from deepseek_operator.core.resources import JOB, POD, Manifest, Ref, Resource, uid_of
from deepseek_operator.core.seen import Seen, SignalWish, Warning
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import Cluster, ClusterError, is_watched
from deepseek_operator.workloads.batch.job import active_of
from deepseek_operator.workloads.pod.state import is_active

OwnerT = TypeVar("OwnerT")
StatusT = TypeVar("StatusT")

Find = Callable[[Key, Iterable[Ref]], Awaitable[dict[Ref, Manifest]]]
"""The existing ones of some references, of the key's namespace."""

FRESH_S = 3.0
"""For so long a live look holds within its pass. The answer to a single read may be older than that."""
WARNINGS_BURST, WARNINGS_PER_S = 50, 5.0
"""Reads of one namespace's events, at once and after them. The API server keeps events in no cache and decodes all of a
namespace for each read: a wave whose pods are late would have it read them once for each of its trainings."""
MAX_CHAIN = 3
"""References that lead to each other: a serving names a training, and that a claim; one more is allowed for."""


class Look(Generic[OwnerT, StatusT]):
    """Looks at the world for one kind."""

    def __init__(
        self,
        kind: Kind[OwnerT, StatusT],
        cluster: Cluster,
        mirror: Mirror,
        clock: Clock,
        pulls: Pulls,
        readings: Readings | None = None,
        wishes: Callable[[Key, OwnerT], tuple[SignalWish, ...]] = lambda key, owner: (),
    ) -> None:
        self._kind = kind
        self._cluster = cluster
        self._mirror = mirror
        self._clock = clock
        self._pulls = pulls
        self._readings = readings
        self._wishes = wishes
        self._recalled: dict[Key, str] = {}
        self._warnings: Buckets[str] = Buckets(WARNINGS_PER_S, WARNINGS_BURST)
        self._warned: dict[Key, dict[str, tuple[Warning, ...]]] = {}

    async def from_mirror(self, key: Key) -> View[OwnerT] | None:
        """What the mirror knows, and the first time what it lacks of what is recorded; None when it knows no such owner.

        Later nothing is asked for but the pull of progress.

        Raises:
            ClusterError: the first time, a read failed.
            TooLarge: the owner is more than is looked at.
            Exception: whatever the kind raises on an owner that it can't bear.
        """
        return await self._as_told(key, self._mirror.get(key.resource, key.namespace, key.name))

    async def _as_told(self, key: Key, manifest: Manifest | None) -> View[OwnerT] | None:
        """The view of an owner as the mirror has it, if it has it."""
        if manifest is None:
            self._gone(key)
            return None
        return await self._mirrored_view(key, manifest, self._referred)

    async def live(self, key: Key, presumes: bool = False) -> View[OwnerT] | None:
        """Every fact read from the API server now; None when there is no such owner.

        `presumes`: of an owner of which no operator has said a word, names that the mirror knows nobody to have count as
        free without a read. Whoever then makes an object of that name must make it or fail, which `View.free` asks for.

        Raises:
            ClusterError: a read failed; nothing is known.
            TooLarge: the owner is more than is looked at.
            Exception: whatever the kind raises on an owner that it can't bear.
        """
        at = self._clock.monotonic()
        manifest = await self._cluster.get(key.resource, key.namespace, key.name)
        if manifest is None:
            self._mirror.drop(key)
            self._gone(key)
            return None
        self._mirror.learn(key, key.resource, manifest)
        manifest, excess = self._kept(key, key.resource, manifest)
        if excess is not None:
            raise TooLarge(excess)
        owner, uid = self._kind.parse(manifest), uid_of(manifest)
        reading = Reading(at, presumes=presumes and _is_unseen(manifest))
        if _is_unseen(manifest):
            self._recalled[key] = uid  # Nothing is recorded of it yet.
        find = partial(self._unasked, reading)
        unserved = self._mirror.unserved(key.namespace)
        labelled = await self._labelled(key, uid, unserved) if self._may_have_children(key, manifest) else {}
        known = self._ours(key, uid, owner, labelled) | await self._left(key, uid, unserved)
        heard_of = self._of_kind(self._mirror.children(key.namespace, uid), unserved).keys() - known.keys()
        by_name = [ref for ref in heard_of if ref.resource not in self._kind.many]
        wanted = self._kind.wanted_names(owner)
        lacking = _lacking(wanted, known, unserved)
        self._presume(key, reading, lacking)
        named = await find(key, (*lacking, *by_name))
        known |= self._ours(key, uid, owner, named)
        known |= await self._pods_of_jobs(key, known)
        reading.unwatched.update({ref: item for ref, item in known.items() if not is_watched(ref.resource, item)})
        return await self._view(key, owner, manifest, wanted, known, named, unserved, find, reading)

    async def first(self, key: Key, presumes: bool) -> View[OwnerT] | None:
        """The first look of a pass: live at an owner of which no operator has said a word, for something final is nearly
        always due; where its kind records something before that, the owner itself is as a watch told of it, since the
        server takes that record for no other version. Of all others `from_mirror`.

        Raises:
            As `live`.
        """
        manifest = self._mirror.get(key.resource, key.namespace, key.name)
        if manifest is None or not _is_unseen(manifest):
            return await self._as_told(key, manifest)
        if not (presumes and self._kind.records_first) or self._may_have_children(key, manifest):
            return await self.live(key, presumes)
        reading = Reading(self._clock.monotonic(), has_owner=False, presumes=True)
        return await self._mirrored_view(key, manifest, partial(self._unasked, reading), reading)

    def holds(self, key: Key, last: View[OwnerT]) -> bool:
        """True while what an earlier live look of this pass read may be relied on."""
        reading, uid = last.reading, self._mirror.uid(key.resource, key.namespace, key.name)
        is_fresh = reading is not None and self._clock.monotonic() - reading.at <= FRESH_S
        return is_fresh and uid == uid_of(last.manifest)

    async def renewed(self, key: Key, last: View[OwnerT]) -> View[OwnerT]:
        """A live look behind an earlier one of the same pass that still `holds`: only what is new is read.

        Raises:
            As `live`.
        """
        manifest = self._mirror.get(key.resource, key.namespace, key.name)
        assert last.reading is not None
        assert manifest is not None
        is_same = manifest["metadata"]["resourceVersion"] == last.manifest["metadata"]["resourceVersion"]
        owner = last.seen.owner if is_same else None
        return await self._mirrored_view(key, manifest, partial(self._unasked, last.reading), last.reading, owner)

    async def _mirrored_view(
        self, key: Key, manifest: Manifest, find: Find, reading: Reading | None = None, owner: OwnerT | None = None
    ) -> View[OwnerT]:
        """The view of what the mirror knows, of what an earlier live look read besides, and of what `find` finds.

        `owner`: the manifest as it was parsed before, if it was.
        """
        if (excess := self._mirror.excess(key.resource, key.namespace, key.name)) is not None:
            raise TooLarge(excess)
        owner, uid = self._kind.parse(manifest) if owner is None else owner, uid_of(manifest)
        unserved = self._mirror.unserved(key.namespace)
        found = self._of_kind(self._mirror.children(key.namespace, uid), unserved)
        known = self._ours(key, uid, owner, found)
        if self._recalled.get(key) != uid:
            await self._recall(key, manifest, owner, known, unserved)
        known |= await self._left(key, uid, unserved)
        if reading is not None:
            known = {**reading.unwatched, **known}
        wanted = self._kind.wanted_names(owner)
        lacking = _lacking(wanted, known, unserved)
        if reading is not None:
            self._presume(key, reading, lacking)
        named = await find(key, lacking)
        known |= self._ours(key, uid, owner, named)
        pods = [self._mirror.children(key.namespace, job) for job in sorted(self._jobs(owner, known))]
        known |= {ref: pod for some in pods for ref, pod in some.items() if ref.resource == POD}
        return await self._view(key, owner, manifest, wanted, known, named, unserved, find, reading)

    async def _view(
        self,
        key: Key,
        owner: OwnerT,
        manifest: Manifest,
        wanted: tuple[Ref, ...],
        known: Mapping[Ref, Manifest],
        named: Mapping[Ref, Manifest],
        unserved: Mapping[Resource, str],
        find: Find,
        reading: Reading | None,
    ) -> View[OwnerT]:
        """`wanted`: names that the children take. `known`: the owner's children. `named`: what has a name that they lacked, or is labelled as theirs, as what KEDA
        makes of a child is. `unserved`: what was not asked for."""
        occupied = {ref: named[ref] for ref in wanted if ref in named and ref not in known}
        scalers = tuple(self._scalers(key, known))
        seen = Seen(
            owner,
            self._clock.now(),
            known,
            occupied,
            unserved=unserved,
            wishes=self._wishes(key, owner),
            scalers=scalers,
        )
        # Names that are found where no watch tells of them are asked for again at every pass.
        absent = [ref for ref in wanted if ref not in known or ref in named]
        return View(await self._with_needs(key, seen, absent, find), manifest, reading)

    def _ours(self, key: Key, uid: str, owner: OwnerT, found: Mapping[Ref, Manifest]) -> dict[Ref, Manifest]:
        """Those of the objects that are the owner's: as recorded by uid, or by what they are."""
        recorded = self._kind.recorded_uids(owner)
        ours = {
            ref: item
            for ref, item in found.items()
            if uid_of(item) in recorded or is_child(key.resource, key.name, uid, ref.resource, item)
        }
        jobs = self._jobs(owner, ours)
        return ours | {ref: item for ref, item in found.items() if ref.resource == POD and job_uid_of(item) in jobs}

    def _scalers(self, key: Key, known: Mapping[Ref, Manifest]) -> Iterator[Manifest]:
        """What scales the owner or one of its children, as watches have told of it; children aside."""
        targets = [(key.resource, key.name), *((ref.resource, ref.name) for ref in sorted(known))]
        for resource, name in targets:
            for entry in self._mirror.scalers.of(resource, key.namespace, name):
                if Ref(entry.location.resource, entry.location.name) not in known:
                    yield entry.manifest

    def _jobs(self, owner: OwnerT, known: Mapping[Ref, Manifest]) -> frozenset[str]:
        """uids of the owner's Jobs, those that are gone included: all of their pods are the owner's."""
        living = (uid_of(item) for ref, item in known.items() if ref.resource == JOB)
        return self._kind.recorded_uids(owner).union(living) - {""}

    async def _recall(
        self, key: Key, manifest: Manifest, owner: OwnerT, known: Mapping[Ref, Manifest], unserved: Container[Resource]
    ) -> None:
        """Finds the owner's children that no watch tells of; they are in sight from then on, as those are that a watch drops.

        Those of a resource that can't be had are looked for when it can. Of an owner that nobody has looked at yet nothing
        is recorded.
        """
        uid = uid_of(manifest)
        if _is_unseen(manifest):
            self._recalled[key] = uid
            return
        lacking = [ref for ref in self._kind.recorded_names(owner) if ref not in known]
        unwatched = [ref for ref in lacking if not ref.resource.is_watched_whole and ref.resource not in unserved]
        found = self._ours(key, uid, owner, await self._live_named(key, unwatched))
        found |= await self._pods_of_jobs(key, self._short_of_pods(key, {**known, **found}))
        for ref, item in found.items():
            if not is_watched(ref.resource, item):
                self._mirror.miss(uid, ref, uid_of(item))
        if not any(ref.resource in unserved for ref in lacking):
            self._recalled[key] = uid

    def _short_of_pods(self, key: Key, known: Mapping[Ref, Manifest]) -> dict[Ref, Manifest]:
        """The Jobs that say that more of their pods are active than the mirror knows."""
        jobs = {ref: item for ref, item in known.items() if ref.resource == JOB}
        pods = {ref: self._mirror.children(key.namespace, uid_of(item)) for ref, item in jobs.items()}
        return {ref: job for ref, job in jobs.items() if active_of(job) > sum(map(is_active, pods[ref].values()))}

    async def _left(self, key: Key, uid: str, unserved: Container[Resource]) -> dict[Ref, Manifest]:
        """Children that the watch dropped although nobody was seen deleting them, and that are there: of the same uid,
        so they are the owner's, and only their labels are gone."""
        found: dict[Ref, Manifest] = {}
        for at, child in self._mirror.left(uid).items():
            if child.resource in unserved:
                continue
            live = await self._cluster.get(child.resource, key.namespace, child.name)
            is_same = live is not None and uid_of(live) == at
            if live is not None and is_same and not is_anothers(key.resource, key.name, uid, child.resource, live):
                found[child] = live
            else:
                self._mirror.let_go(uid, at)
        return found

    def _gone(self, key: Key) -> None:
        """Nothing is kept of an owner that is no more: its last event may have come before this, and no other will."""
        self._mirror.refer(key, ())
        self._recalled.pop(key, None)
        self._warned.pop(key, None)
        self._pulls.forget(key)
        if self._readings is not None:
            self._readings.forget(key)

    def _may_have_children(self, key: Key, manifest: Manifest) -> bool:
        """False for an owner that no operator has said a word of, and of whose children no watch has told: kinds record
        what they are about before they make anything that there may be many of. Of its wanted names each is asked for."""
        return not _is_unseen(manifest) or bool(self._mirror.children(key.namespace, uid_of(manifest)))

    async def _labelled(self, key: Key, uid: str, unserved: Container[Resource]) -> dict[Ref, Manifest]:
        asked = [resource for resource in self._kind.many if resource not in unserved]
        listings = await asyncio.gather(*(self._cluster.list_owned(resource, key.namespace, uid) for resource in asked))
        for resource, listing in zip(asked, listings, strict=True):
            self._mirror.learn_owned(key, resource, uid, listing)
        return {_ref(r, item): item for r, found in zip(asked, listings, strict=True) for item in found.items}

    async def _pods_of_jobs(self, key: Key, known: Mapping[Ref, Manifest]) -> dict[Ref, Manifest]:
        jobs = [uid_of(item) for ref, item in sorted(known.items()) if ref.resource == JOB]
        found = await asyncio.gather(*(self._cluster.list_pods_of_job(key.namespace, job) for job in jobs))
        pods = ((job, pod) for job, listing in zip(jobs, found, strict=True) for pod in listing.items)
        return {_ref(POD, pod): pod for job, pod in pods if job_uid_of(pod) == job}

    async def _live_named(self, key: Key, refs: Iterable[Ref]) -> dict[Ref, Manifest]:
        wanted = sorted(set(refs))
        known = {ref: self._mirror.get(ref.resource, key.namespace, ref.name) for ref in wanted}
        found = await asyncio.gather(*(self._cluster.get(ref.resource, key.namespace, ref.name) for ref in wanted))
        read = [(ref, item) for ref, item in zip(wanted, found, strict=True) if item is not None]
        for ref, item in read:
            if is_watched(ref.resource, item):
                self._mirror.learn(key, ref.resource, item)
        existing = {ref: self._kept(key, ref.resource, item)[0] for ref, item in read}
        for ref, before in known.items():
            # It has gone, unless the watch has told of it meanwhile.
            if before is not None and ref not in existing and self._mirrored(key, [ref]).get(ref) == before:
                self._mirror.learn_gone(key, ref.resource, before)
        return existing

    def _kept(self, key: Key, resource: Resource, manifest: Manifest) -> tuple[Manifest, str | None]:
        """What is kept of an object that was just read: as the mirror has it already, if that has this very version."""
        metadata = manifest["metadata"]
        known = self._mirror.get(resource, key.namespace, metadata["name"])
        if known is None or any(known["metadata"][field] != metadata[field] for field in ("uid", "resourceVersion")):
            return kept(resource, manifest)
        return known, self._mirror.excess(resource, key.namespace, metadata["name"])

    async def _unasked(self, reading: Reading, key: Key, refs: Iterable[Ref]) -> dict[Ref, Manifest]:
        """What has these names: of those that were asked for already, what the mirror has heard of them since.

        What no watch tells of is as it was read.
        """
        wanted = set(refs)
        new = wanted - reading.asked.keys()
        found = await self._live_named(key, new)
        reading.asked.update({ref: found.get(ref) for ref in new})
        read = {ref: item for ref in wanted - new if (item := reading.asked[ref]) is not None}
        unwatched = {ref: item for ref, item in read.items() if not is_watched(ref.resource, item)}
        return {**unwatched, **self._mirrored(key, wanted - new), **found}

    def _presume(self, key: Key, reading: Reading, names: Iterable[Ref]) -> None:
        if reading.presumes:
            new = set(names) - reading.asked.keys()
            reading.asked.update(dict.fromkeys(new - self._mirrored(key, new).keys()))

    def _mirrored(self, key: Key, refs: Iterable[Ref]) -> dict[Ref, Manifest]:
        found = {ref: self._mirror.get(ref.resource, key.namespace, ref.name) for ref in refs}
        return {ref: item for ref, item in found.items() if item is not None}

    async def _referred(self, key: Key, refs: Iterable[Ref]) -> dict[Ref, Manifest]:
        return self._mirrored(key, refs)

    async def _with_needs(self, key: Key, seen: Seen[OwnerT], wanted: Iterable[Ref], find: Find) -> Seen[OwnerT]:
        """Asks the kind again with what was found, until it names nothing new: one reference may name the next."""
        needs, asked = self._kind.needs(seen), set[Ref]()
        for _ in range(MAX_CHAIN):
            fresh = {ref for ref in needs.references if ref.resource not in seen.unserved} - asked
            if not fresh:
                break
            asked |= fresh
            seen = replace(seen, references={**seen.references, **await find(key, fresh)})
            needs = self._kind.needs(seen)
        self._mirror.refer(key, (*sorted(asked), *wanted))
        if needs.neighbours:
            seen = replace(seen, neighbours=self._mirror.neighbours.of(key))
        if needs.mentions:
            seen = replace(seen, mentions=self._mirror.mentions(key.namespace))
        seen = await self._with_warnings(key, seen, needs.warnings)
        seen = await self._with_progress(key, seen, needs.progress)
        if self._readings is None:
            return seen
        answers = await self._readings.answers(key, needs.questions)
        return replace(seen, readings=answers) if answers else seen

    async def _with_warnings(self, key: Key, seen: Seen[OwnerT], refs: Iterable[Ref]) -> Seen[OwnerT]:
        """Events are for display: what can't be read is not known, and nothing waits for it. What was read before is
        told again while the namespace has had its share of reads."""
        before, known = self._warned.pop(key, {}), dict[str, tuple[Warning, ...]]()
        told: dict[Ref, tuple[Warning, ...]] = {}
        for ref in refs:
            manifest = seen.children.get(ref)
            if manifest is None:
                continue
            uid, now = uid_of(manifest), self._clock.monotonic()
            if self._warnings.wait_s(key.namespace, now) <= 0:
                self._warnings.reserve(key.namespace, now)
                with suppress(ClusterError):
                    known[uid] = tuple(await self._cluster.list_warnings(key.namespace, uid))
            elif uid in before:
                known[uid] = before[uid]
            if uid in known:
                told[ref] = known[uid]
        if known:
            self._warned[key] = known
        return replace(seen, warnings=told) if told else seen

    def _of_kind(self, children: Mapping[Ref, Manifest], unserved: Container[Resource]) -> Mapping[Ref, Manifest]:
        served = [resource for resource in self._kind.owns if resource not in unserved]
        return {ref: item for ref, item in children.items() if ref.resource in served}

    async def _with_progress(self, key: Key, seen: Seen[OwnerT], pod: Ref | None) -> Seen[OwnerT]:
        manifest = seen.children.get(pod) if pod is not None else None
        return replace(seen, progress=await self._pulls.said(key, manifest)) if manifest is not None else seen


def _lacking(wanted: Iterable[Ref], known: Mapping[Ref, Manifest], unserved: Container[Resource]) -> list[Ref]:
    return [ref for ref in wanted if ref not in known and ref.resource not in unserved]


def _is_unseen(owner: Manifest) -> bool:
    """No operator has written its status yet, or somebody has taken that away."""
    status = owner.get("status") or {}
    return not status or status.get("observedGeneration") == -1


def _ref(resource: Resource, manifest: Manifest) -> Ref:
    return Ref(resource, manifest["metadata"]["name"])
