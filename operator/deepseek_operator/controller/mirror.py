"""What the watches have told so far: objects by uid. Good enough for what converges, never for what is final.

Events are hints and may come late, twice, out of order or not at all. Three rules keep the mirror honest: a lower
resourceVersion never replaces a higher one, a tombstone beats every older event, and absence is believed only if the
list that lacks the object is at least as new as the object.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from deepseek_operator.controller.entries import Entry, Location, entry_of, location_of
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.neighbours import Neighbours, drop
from deepseek_operator.controller.scalers import Scalers
from deepseek_operator.core.mentions import Mentions, mentioned
from deepseek_operator.core.names import OWNER_UID, family_of, owner_label
from deepseek_operator.core.resources import (
    JOB,
    POD,
    Manifest,
    Ref,
    Resource,
    controller_of,
    is_terminating,
    labels_of,
    uid_of,
)
from deepseek_operator.ports.cluster import Listing

MOST_DEPARTED = 1000


@dataclass(frozen=True)
class Audit:
    """What a list found: keys whose ghosts were removed, and objects that the watch has not told of."""

    woken: frozenset[Key] = frozenset()
    missed: tuple[Location, ...] = ()


@dataclass
class Mirror:
    """Objects of the watched resources, indexed by uid, by name, by owner and by resource; and who refers to what.

    Attributes:
        wake: hears of the keys that must look again because of what a pass over another learnt.
        neighbours: the custom resources of each kind and namespace.
        scalers: whatever scales something, by what.
    """

    wake: Callable[[frozenset[Key]], None] = lambda keys: None
    neighbours: Neighbours = field(default_factory=Neighbours)
    scalers: Scalers = field(default_factory=Scalers)
    _by_uid: dict[str, Entry] = field(default_factory=dict)
    _by_location: dict[Location, str] = field(default_factory=dict)
    _by_owner: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _by_resource: dict[Resource, dict[str, Entry]] = field(default_factory=dict)
    _tombstones: dict[str, int] = field(default_factory=dict)
    _tombstone_resources: dict[str, Resource] = field(default_factory=dict)
    _last_audit: dict[Resource, int] = field(default_factory=dict)
    _departed: dict[Key, Manifest] = field(default_factory=dict)
    _references: dict[Key, frozenset[Location]] = field(default_factory=dict)
    _referrers: dict[Location, set[Key]] = field(default_factory=dict)
    _left: dict[str, dict[str, Ref]] = field(default_factory=dict)
    _forsaken: dict[Key, set[str]] = field(default_factory=dict)
    _missing: dict[tuple[Resource, str | None], str] = field(default_factory=dict)
    _turned_away: dict[Resource, set[Key]] = field(default_factory=dict)

    # --- reading ------------------------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """The object of that name; None when the mirror knows none."""
        uid = self._by_location.get(Location(resource, namespace, name))
        return self._by_uid[uid].manifest if uid is not None else None

    def uid(self, resource: Resource, namespace: str, name: str) -> str | None:
        """uid of the object of that name, which is not read for it."""
        return self._by_location.get(Location(resource, namespace, name))

    def excess(self, resource: Resource, namespace: str, name: str) -> str | None:
        """Why the object of that name is not all there; None when it is, or when the mirror knows none."""
        uid = self._by_location.get(Location(resource, namespace, name))
        return self._by_uid[uid].excess if uid is not None else None

    def children(self, namespace: str, owner_uid: str) -> Mapping[Ref, Manifest]:
        """Objects of the namespace that point to the owner: by label, or by who controls them. A Job owns its pods."""
        entries = self._by_owner.get(owner_uid, {}).values()
        return {
            Ref(entry.location.resource, entry.location.name): entry.manifest
            for entry in entries
            if entry.location.namespace == namespace
        }

    def left(self, owner_uid: str) -> Mapping[str, Ref]:
        """By uid, what is the owner's, or pointed to it and does so no longer, though it was not being deleted.

        A watch says the same of an object that lost its label and of one that is gone at once.
        """
        return dict(self._left.get(owner_uid, {}))

    def miss(self, owner_uid: str, ref: Ref, uid: str) -> None:
        """That object is the owner's, and no watch tells of it: `left` does, until one tells again."""
        self._left.setdefault(owner_uid, {})[uid] = ref

    def let_go(self, owner_uid: str, uid: str) -> None:
        """That object is gone, or nobody's child any more."""
        left = self._left.get(owner_uid, {})
        left.pop(uid, None)
        if not left:
            self._left.pop(owner_uid, None)

    def mentions(self, namespace: str) -> Mentions | None:
        """Which folders of fetched sources the objects of the namespace name; None where one of them is not all there."""
        entries = [entry for entry in self._by_uid.values() if entry.location.namespace == namespace]
        return mentioned(entry.text for entry in entries) if all(entry.excess is None for entry in entries) else None

    def unserved(self, namespace: str) -> Mapping[Resource, str]:
        """Optional resources that can't be had in the namespace, and why. What is mirrored of one counts for nothing."""
        return {resource: why for (resource, scope), why in self._missing.items() if scope in {None, namespace}}

    def lacks(self, resource: Resource) -> bool:
        """True while the resource can't be had, in whatever namespace."""
        return any(resource == missing for missing, _ in self._missing)

    def owners(self) -> tuple[Key, ...]:
        """Keys of all custom resources, ordered."""
        owners = (entries for resource, entries in self._by_resource.items() if resource.is_owner)
        locations = (entry.location for entries in owners for entry in entries.values())
        return tuple(sorted(Key(at.resource, at.namespace, at.name) for at in locations))

    def versions(self, resource: Resource) -> tuple[tuple[Key, str, int], ...]:
        """Of every object of the resource its key, uid and resourceVersion; none is read for it."""
        return tuple(
            (Key(resource, entry.location.namespace, entry.location.name), entry.uid, entry.version)
            for entry in self._of(resource).values()
        )

    def sizes(self) -> Mapping[Resource, int]:
        """Number of objects per resource, of those that have any."""
        return {resource: len(entries) for resource, entries in self._by_resource.items()}

    # --- feeding ------------------------------------------------------------------------------------------------

    def observe(self, resource: Resource, manifest: Manifest) -> frozenset[Key]:
        """An object as an event, a read or a write's answer showed it; returns the keys that must look again."""
        uid, version = uid_of(manifest), int(manifest["metadata"]["resourceVersion"])
        known = self._by_uid.get(uid)
        if version <= self._tombstones.get(uid, -1) or (known is not None and version <= known.version):
            return frozenset()
        entry = entry_of(resource, manifest)
        woken = self._replace_predecessor(entry)
        if woken is None:
            return frozenset()
        if known is not None:
            woken |= self._remove(known)
            self._leaves(known, known.owners - entry.owners)
        self._by_uid[uid] = entry
        self._by_resource.setdefault(resource, {})[uid] = entry
        self._by_location[entry.location] = uid
        self.neighbours.add(entry)
        self.scalers.add(entry)
        for owner in entry.owners:
            self._by_owner.setdefault(owner, {})[uid] = entry
            self.let_go(owner, uid)
        return woken | self._concerned(entry)

    def forget(self, resource: Resource, manifest: Manifest) -> frozenset[Key]:
        """The watch said DELETED (gone, or its label is); returns the keys that must look again."""
        entry = entry_of(resource, manifest)
        return self._bury(uid_of(manifest), entry)

    def audit(self, resource: Resource, listing: Listing) -> Audit:
        """Compares with a list of all objects (metadata suffices) that was taken before some pause.

        The pause lets the watch deliver what was on its way, so that only what it lost is reported as missed.
        """
        listed_at = int(listing.resource_version)
        listed = {uid_of(item): item for item in listing.items}
        ghosts = [
            entry for uid, entry in self._of(resource).items() if uid not in listed and entry.version <= listed_at
        ]
        woken = self._remove_ghosts(ghosts, listed_at)
        missed = tuple(location_of(resource, item) for uid, item in listed.items() if self._is_news(uid, item))
        self._expire_tombstones(resource, listed_at)
        return Audit(woken, missed)

    def relisted(
        self, resource: Resource, namespace: str | None, version: int, uids: Collection[str]
    ) -> frozenset[Key]:
        """A watch began anew with a list of that version, whose items were observed: what it lacks has gone."""
        ghosts = [
            entry
            for uid, entry in self._of(resource).items()
            if namespace in {None, entry.location.namespace} and uid not in uids and entry.version <= version
        ]
        return self._remove_ghosts(ghosts, version)

    def missing(self, resource: Resource, namespace: str | None, why: str | None) -> bool:
        """An optional resource can't be had, for that reason, or (None) can again; returns whether that is news.

        What is mirrored of it is dropped each time: the answer of a write that was on its way may have come since. No
        tombstones, for this says nothing of the objects: where only a right is lacking, they live.
        """
        if why is None:
            return self._missing.pop((resource, namespace), None) is not None
        is_news = self._missing.get((resource, namespace)) != why
        self._missing[resource, namespace] = why
        for entry in list(self._of(resource).values()):
            if namespace in {None, entry.location.namespace}:
                self._remove(entry)
        return is_news

    def turn_away(self, resource: Resource, key: Key) -> None:
        """A write of an optional resource was refused as a whole; when a watch of it next stands, it may be taken."""
        self._turned_away.setdefault(resource, set()).add(key)

    def turned_away(self, resource: Resource, namespace: str | None) -> frozenset[Key]:
        """Whose writes were refused in the namespace (None: in any) since this was last asked."""
        keys = self._turned_away.get(resource, set())
        found = frozenset(key for key in keys if namespace in {None, key.namespace})
        keys -= found
        return found

    def learn(self, key: Key, resource: Resource, manifest: Manifest) -> None:
        """An object as a pass over `key` wrote or read it. That pass knows it; whoever else it concerns looks again, for
        the event of this version will be no news any more."""
        self.wake(self.observe(resource, manifest) - {key})

    def learn_gone(self, key: Key, resource: Resource, manifest: Manifest) -> None:
        """A pass over `key` found nobody at the name of the object as it was known until now."""
        self.wake(self.forget(resource, manifest) - {key})

    def learn_owned(self, key: Key, resource: Resource, owner_uid: str, listing: Listing) -> None:
        """Takes over a live list of one owner's children: the listed ones, and the absence of others."""
        listed_at = int(listing.resource_version)
        listed = {uid_of(item) for item in listing.items}
        known = list(self._by_owner.get(owner_uid, {}).items())
        woken = self._remove_ghosts(
            [
                entry
                for uid, entry in known
                if (entry.location.resource, entry.location.namespace) == (resource, key.namespace)
                and uid not in listed
                and entry.version <= listed_at
            ],
            listed_at,
        )
        self.wake(woken - {key})
        for item in listing.items:
            self.learn(key, resource, item)

    def drop(self, key: Key) -> None:
        """A live read said that the custom resource is gone."""
        uid = self._by_location.get(Location(key.resource, key.namespace, key.name))
        if uid is not None:
            self.wake(self._bury(uid, self._by_uid[uid]) - {key})

    def forsaken(self, key: Key) -> frozenset[str]:
        """uids of earlier owners of this name of which pods that nobody controls are there; told once."""
        return frozenset(self._forsaken.pop(key, ()))

    def forsake(self, owners: Iterable[Resource]) -> frozenset[Key]:
        """Looks for loose pods of owners that are no more, of those kinds that end such; returns the keys under which
        `forsaken` tells of them."""
        by_label = {owner_label(owner): owner for owner in owners if family_of(owner).ends_loose_pods}
        for entry in self._of(POD).values():
            at, pod = entry.location, entry.manifest
            labels = labels_of(pod)
            uid = labels.get(OWNER_UID, "")
            if uid not in self._by_uid and controller_of(pod) is None:
                for label in (label for label in by_label if labels.get(label)):
                    key = Key(by_label[label], at.namespace, labels[label])
                    self._forsaken.setdefault(key, set()).add(uid)
        return frozenset(self._forsaken)

    def departed(self, key: Key) -> Manifest | None:
        """A custom resource as it last was, once, after it has gone; None when none has, or it was told already."""
        return self._departed.pop(key, None)

    # --- references ---------------------------------------------------------------------------------------------

    def refer(self, key: Key, refs: Iterable[Ref]) -> None:
        """From now on `key` wants to look again when one of these objects changes; replaces its earlier wish."""
        wanted = frozenset(Location(ref.resource, key.namespace, ref.name) for ref in refs)
        for location in self._references.pop(key, frozenset()) - wanted:
            self._referrers[location].discard(key)
            if not self._referrers[location]:
                del self._referrers[location]
        for location in wanted:
            self._referrers.setdefault(location, set()).add(key)
        if wanted:
            self._references[key] = wanted

    # --- inside -------------------------------------------------------------------------------------------------

    def _of(self, resource: Resource) -> Mapping[str, Entry]:
        """By uid, all of that resource."""
        return self._by_resource.get(resource, {})

    def _replace_predecessor(self, entry: Entry) -> frozenset[Key] | None:
        """Makes place at the name; None when the name's present holder is the newer one."""
        holder = self._by_location.get(entry.location)
        if holder is None or holder == entry.uid:
            return frozenset()
        known = self._by_uid[holder]
        if known.version > entry.version:
            return None
        return self._bury(holder, known)

    def _bury(self, uid: str, entry: Entry) -> frozenset[Key]:
        known = self._by_uid.get(uid)
        if known is not None and known.version > entry.version:
            return frozenset()
        self._tombstones[uid] = max(entry.version, self._tombstones.get(uid, -1))
        self._tombstone_resources[uid] = entry.location.resource
        if known is None:
            return frozenset()
        self._remove(known)
        at = known.location
        self._leaves(known, known.owners)
        if at.resource.is_owner:
            self._left.pop(uid, None)
            self._depart(Key(at.resource, at.namespace, at.name), known.manifest)
        return self._concerned(known)

    def _depart(self, key: Key, manifest: Manifest) -> None:
        """Nobody asks for those that have gone while this process does not lead: only the latest are kept."""
        self._departed.pop(key, None)
        self._departed[key] = manifest
        if len(self._departed) > MOST_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _remove(self, entry: Entry) -> frozenset[Key]:
        uid = entry.uid
        del self._by_uid[uid]
        drop(self._by_resource, entry.location.resource, uid)
        if self._by_location.get(entry.location) == uid:
            del self._by_location[entry.location]
        self.neighbours.drop(entry)
        self.scalers.drop(entry)
        for owner in entry.owners:
            drop(self._by_owner, owner, uid)
        return self._concerned(entry)

    def _leaves(self, entry: Entry, owners: Iterable[str]) -> None:
        """Kept in mind until its owner has asked whether it is there: a label that was taken away ends no life."""
        at = entry.location
        if at.resource.is_watched_whole or is_terminating(entry.manifest):
            return
        for owner in owners:
            known = self._by_uid.get(owner)
            if known is not None and known.location.resource.is_owner and known.location.namespace == at.namespace:
                self._left.setdefault(owner, {})[entry.uid] = Ref(at.resource, at.name)

    def _remove_ghosts(self, ghosts: Iterable[Entry], listed_at: int) -> frozenset[Key]:
        woken: set[Key] = set()
        for ghost in ghosts:
            uid = ghost.uid
            woken |= self._remove(ghost)
            self._leaves(ghost, ghost.owners)
            self._tombstones[uid] = max(listed_at, self._tombstones.get(uid, -1))
            self._tombstone_resources[uid] = ghost.location.resource
        return frozenset(woken)

    def _is_news(self, uid: str, item: Manifest) -> bool:
        version = int(item["metadata"]["resourceVersion"])
        known = self._by_uid.get(uid)
        return version > (known.version if known is not None else self._tombstones.get(uid, -1))

    def _expire_tombstones(self, resource: Resource, listed_at: int) -> None:
        """An event older than the last list but one is no longer under way."""
        limit = self._last_audit.get(resource, -1)
        self._last_audit[resource] = listed_at
        old = [u for u, v in self._tombstones.items() if v < limit and self._tombstone_resources[u] == resource]
        for uid in old:
            del self._tombstones[uid], self._tombstone_resources[uid]

    def _concerned(self, entry: Entry) -> frozenset[Key]:
        at = entry.location
        referrers = self._referrers.get(at, set())
        if at.resource.is_owner:
            return frozenset({Key(at.resource, at.namespace, at.name), *referrers})
        return frozenset({*self._owners_of(entry), *self._scaled_by(entry), *referrers})

    def _scaled_by(self, entry: Entry) -> Iterable[Key]:
        """Whom an autoscaler scales, or whose child that is; nobody for any other object."""
        place = self.scalers.place(entry)
        scaled = self._by_uid.get(self._by_location.get(Location(*place), "")) if place is not None else None
        if scaled is None:
            return ()
        at = scaled.location
        return [Key(at.resource, at.namespace, at.name)] if at.resource.is_owner else self._owners_of(scaled)

    def _owners_of(self, entry: Entry) -> Iterable[Key]:
        """Whom the object points to; a pod without the label does by way of its Job."""
        for uid in entry.owners:
            to = self._by_uid.get(uid)
            if to is None or to.location.namespace != entry.location.namespace:
                continue
            if to.location.resource.is_owner:
                yield Key(to.location.resource, to.location.namespace, to.location.name)
            elif to.location.resource == JOB:
                yield from self._owners_of(to)
