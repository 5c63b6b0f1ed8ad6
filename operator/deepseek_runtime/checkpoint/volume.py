"""The directories of one training on its volume: reading, committing, verifying, deleting.

    <root>/<incarnation>/claim.json, origin.json
    <root>/<incarnation>/step-00000120/{rank files, manifest.json}
    <root>/exports/<step>/{safetensors, config.json, tokenizer, manifest.json}

A commit is one rename by one writer: a directory is filled under a name that starts with `_tmp-` and
holds its incarnation's, its manifest comes last, then it gets its name, and a name that is taken is
never taken away. Whatever else is found is torn: ignored, and cleared at the start of a later attempt.

Several attempts may be alive at a time: a node that was lost is back, a launcher starts late. So only
what certainly is of the past is touched, an attempt's own and its recorded ancestors'; and an attempt
announces itself with a claim before it looks for a checkpoint. Whoever sees a later claim is presumed
dead and neither saves nor deletes. A deletion takes the name away first and looks for claims then:
either the later attempt never saw that name, or its claim is seen and the name comes back.
"""

import errno
import json
import sys
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Literal, TypeVar

from deepseek_runtime.checkpoint import manifest as manifests
from deepseek_runtime.checkpoint import origin as origins
from deepseek_runtime.checkpoint.document import Unreadable, load
from deepseek_runtime.checkpoint.files import (
    GONE_SUFFIX,
    entries,
    is_directory,
    is_there,
    put_back,
    remove,
    sync,
    write_whole,
)
from deepseek_runtime.checkpoint.integrity import Damaged, Missing, verify_hashes, verify_sizes
from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME, File, Manifest
from deepseek_runtime.checkpoint.origin import ORIGIN_NAME, Origin
from deepseek_runtime.contract import Ancestor

TORN_PREFIX = "_tmp-"
CLAIM_NAME = "claim.json"
EXPORTS_NAME = "exports"
_NOBODY = ""
_MOST_SAID = 50
# Two renames and a look at a few small files lie between a name's going and its coming back.
_BACK_LOOKS, _BACK_S = 20, 0.1

_T = TypeVar("_T")
Export = Literal["Made", "Same", "Another"]
"""What came of an export: it was made, it was there already, or another one of that step is there and stays."""


class Superseded(Exception):
    """A later attempt has begun: this one is presumed dead and must write and delete nothing more."""


def _to_log(line: str) -> None:
    print(f"checkpoints: {line}", file=sys.stderr, flush=True)


class Volume:
    """One training's directory, `<root>/<training uid>`. Methods raise OSError when the volume is gone.

    `say` hears, in a sentence, of what is passed over because it is not what was written there.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = _to_log) -> None:
        self.root = root
        self._heard = say
        self._said: set[str] = set()

    def _say(self, sentence: str) -> None:
        """Each sentence once, and not more of them than a log should hold."""
        if sentence not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(sentence)
            self._heard(sentence)

    def step_directory(self, incarnation: str, step: int) -> Path:
        return self.root / incarnation / f"step-{step:08d}"

    def torn_directory(self, incarnation: str, step: int) -> Path:
        """Where a checkpoint is written until it is whole."""
        return self.root / incarnation / f"{TORN_PREFIX}step-{step:08d}"

    def export_directory(self, step: int) -> Path:
        return self.root / EXPORTS_NAME / str(step)

    def torn_export_directory(self, incarnation: str, step: int) -> Path:
        """Where an export is written until it is whole: no other attempt writes there."""
        return self.root / EXPORTS_NAME / f"{TORN_PREFIX}{incarnation}-{step}"

    def incarnations(self) -> list[Path]:
        if not is_there(self.root):
            return []
        return sorted(d for d in self.root.iterdir() if is_directory(d) and d.name != EXPORTS_NAME)

    def checkpoints(self) -> dict[str, list[Manifest]]:
        """Whole checkpoints by incarnation, by step upwards. A manifest that names another place is not believed."""
        return {d.name: self.checkpoints_of(d.name) for d in self.incarnations()}

    def checkpoints_of(self, incarnation: str) -> list[Manifest]:
        steps = (d for d in entries(self.root / incarnation) if d.name.startswith("step-"))
        found = [self.manifest_in(d) for d in steps]
        own = [m for m in found if m is not None and m.kind == "Checkpoint" and m.incarnation == incarnation]
        return sorted(own, key=lambda m: m.step)

    def origins(self) -> dict[str, Origin]:
        found = {d.name: self._read(d / ORIGIN_NAME, origins.decode) for d in self.incarnations()}
        return {name: origin for name, origin in found.items() if origin is not None and origin.incarnation == name}

    def exports(self) -> list[Manifest]:
        """Whole exports, by step upwards."""
        found = [self.manifest_in(d) for d in entries(self.root / EXPORTS_NAME) if d.name.isdigit()]
        return sorted((m for m in found if m is not None and m.kind == "Export"), key=lambda m: m.step)

    def manifest_in(self, directory: Path) -> Manifest | None:
        """The manifest in a directory, None when there is none that can be believed: the directory is torn then."""
        if not is_directory(directory):
            return None
        found = self._read(directory / MANIFEST_NAME, manifests.decode)
        if found is None or directory.name in (f"step-{found.step:08d}", str(found.step)):
            return found
        self._say(f"{directory} is passed over: its manifest is of step {found.step}")
        return None

    def unbelieved(self, incarnation: str) -> list[Path]:
        """Folders that may hold a checkpoint of an incarnation, and nobody can tell: what says so can't be read."""
        place = self.root / incarnation
        try:
            steps = sorted(d for d in place.iterdir() if d.name.startswith("step-"))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            return [place]
        return [d for d in steps if is_there(d / MANIFEST_NAME) and self.manifest_in(d) is None]

    def claim(self, incarnation: str, attempt: int) -> None:
        """Announces an attempt, before it looks for a checkpoint."""
        (self.root / incarnation).mkdir(parents=True, exist_ok=True)
        write_whole(self.root / incarnation / CLAIM_NAME, json.dumps({"attempt": attempt}))

    def is_superseded(self, attempt: int) -> bool:
        """Whether a later attempt has announced itself: this one is a zombie and must delete nothing."""
        return any(claimed > attempt for claimed in self._claims().values())

    def check_alive(self, attempt: int) -> None:
        """Raises Superseded when a later attempt has announced itself."""
        if self.is_superseded(attempt):
            raise Superseded(f"a later attempt than {attempt} has begun: this one is presumed dead and ends")

    def write_origin(self, origin: Origin) -> None:
        (self.root / origin.incarnation).mkdir(parents=True, exist_ok=True)
        write_whole(self.root / origin.incarnation / ORIGIN_NAME, origins.encode(origin))

    def past(self, incarnation: str, ancestry: Iterable[Ancestor]) -> frozenset[str]:
        """Incarnations that certainly are of the past: the caller's own, and those of its recorded ancestors.

        An ancestor's are the one that was recorded and every other that announced itself with its number.
        """
        recorded = tuple(ancestry)
        attempts = {one.attempt for one in recorded}
        announced = {name for name, attempt in self._claims().items() if attempt in attempts}
        named = {one.incarnation for one in recorded if one.incarnation}
        # Earlier releases put nobody's name on an export: one that lies there is an ancestor's.
        return frozenset({incarnation, *announced, *named, *([_NOBODY] if recorded else [])})

    def clear(self, past: Collection[str]) -> list[Path]:
        """Deletes what these incarnations left unfinished; needs no room to do so. Returns what was deleted."""
        torn = [d for name in sorted(past) if name for d in entries(self.root / name) if _is_torn(d)]
        torn += [d for d in entries(self.root / EXPORTS_NAME) if _exporter(d) in past]
        for directory in torn:
            remove(directory)
        return torn

    def delete(self, manifest: Manifest, attempt: int, incarnation: str) -> bool:
        """Deletes a checkpoint on behalf of an attempt; whether it is gone. Raises Superseded, and then it is still there.

        Somebody who needed the room may have deleted it already. With another pod of the same attempt about (a Job
        replaces a pod that it lost) an ancestor's stays: who of the two goes on is not known here.
        """
        directory = self.step_directory(manifest.incarnation, manifest.step)
        torn = self.torn_directory(manifest.incarnation, manifest.step)
        gone = torn.with_name(torn.name + GONE_SUFFIX)
        if not self._may_delete(manifest, attempt, incarnation):
            return False
        try:
            remove(gone)
            directory.rename(gone)
        except FileNotFoundError:
            return True
        try:
            if self._may_delete(manifest, attempt, incarnation):
                remove(gone)
                return True
        except Superseded:
            put_back(gone, directory)
            raise
        put_back(gone, directory)
        return False

    def _may_delete(self, manifest: Manifest, attempt: int, incarnation: str) -> bool:
        self.check_alive(attempt)
        rivals = any(claimed == attempt for name, claimed in self._claims().items() if name != incarnation)
        return manifest.incarnation == incarnation or not rivals

    def problem_of(self, manifest: Manifest, files: Iterable[File]) -> Exception | None:
        """What is wrong with a checkpoint, as far as all sizes and the hashes of `files` tell; None when it is whole.

        One that has just been seen and is gone, or goes meanwhile, gets a moment to come back: an attempt that is
        presumed dead may have taken it away before it sees the claim of the caller's.
        """
        directory = self.step_directory(manifest.incarnation, manifest.step)
        wanted = tuple(files)
        for look in range(_BACK_LOOKS):
            was_there = is_there(directory)
            try:
                verify_sizes(directory, manifest)
                verify_hashes(directory, wanted)
                return None
            except (Missing, FileNotFoundError) as error:
                problem: Exception = error
                if look and was_there and is_there(directory):
                    return problem
            except (Damaged, OSError) as error:
                return error
            time.sleep(_BACK_S)
        return problem

    def commit_export(self, manifest: Manifest, attempt: int) -> Export:
        """Turns this incarnation's filled directory into the export of that step; one that is there stays.

        A serving may have mounted it, so no export is ever replaced or taken away: the fresh one is compared with it
        and dropped. A folder that holds no manifest is moved aside. Raises Superseded.
        """
        self.check_alive(attempt)
        torn, final = (
            self.torn_export_directory(manifest.incarnation, manifest.step),
            self.export_directory(manifest.step),
        )
        there = self.manifest_in(final)
        if there is None:
            if is_there(final):
                final.rename(final.with_name(f"no-export-{manifest.incarnation}-{manifest.step}"))
            try:
                commit(torn, final, manifest)
                return "Made"
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                there = self.manifest_in(final)  # somebody else was first
        remove(torn)
        return "Same" if there is not None and there.files == manifest.files else "Another"

    def has_export_of(self, checkpoint: Manifest) -> bool:
        """Whether there is a whole export that was made from that very checkpoint."""
        there = self.manifest_in(self.export_directory(checkpoint.step))
        return there is not None and there.parent == checkpoint.position

    def _claims(self) -> dict[str, int]:
        found = {d.name: self._read(d / CLAIM_NAME, _attempt_of) for d in self.incarnations()}
        return {name: attempt for name, attempt in found.items() if attempt is not None}

    def _read(self, path: Path, decode: Callable[[object], _T]) -> _T | None:
        """What a file says; None when it isn't there or says nothing that can be believed."""
        try:
            return decode(load(path))
        except FileNotFoundError:
            return None
        except Unreadable as error:
            self._say(f"{path} is passed over: {error}")
            return None


def commit(torn: Path, final: Path, manifest: Manifest) -> None:
    """Turns a filled directory into a checkpoint or export. All files must be on the volume already.

    Raises OSError when the name is taken, or when the directory was cleared away meanwhile, or Damaged when a file was.
    """
    write_whole(torn / MANIFEST_NAME, manifests.encode(manifest))
    verify_sizes(torn, manifest)
    torn.rename(final)
    sync(final.parent)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a directory by whatever name it is mounted; None when there is none that can be believed."""
    try:
        return manifests.decode(load(directory / MANIFEST_NAME))
    except (FileNotFoundError, Unreadable):
        return None


def _is_torn(path: Path) -> bool:
    if path.name.startswith(TORN_PREFIX):
        return True
    return path.name.startswith("step-") and not is_there(path / MANIFEST_NAME)


def _exporter(path: Path) -> str | None:
    """The incarnation that an unfinished export belongs to, _NOBODY where none is named; None for whole ones."""
    if not path.name.startswith(TORN_PREFIX):
        return None
    incarnation, _, step = path.name.removeprefix(TORN_PREFIX).removesuffix(GONE_SUFFIX).rpartition("-")
    return incarnation if step.isdigit() else None


def _attempt_of(claim: object) -> int:
    match claim:
        case {"attempt": int(attempt)}:
            return attempt
    raise Unreadable("it names no attempt")
