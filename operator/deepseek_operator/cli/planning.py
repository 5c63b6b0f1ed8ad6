"""The command `plan`: files are read as kubectl reads them, judged as the API server judges them, and then rehearsed.

What the server would refuse is not rehearsed, and told in the server's words; what would be Stalled is rehearsed and
counts as refused too, because nothing would be made of it before somebody edits it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from deepseek_operator.adapters.admission import Refused, admit
from deepseek_operator.cli.manifest_loader import ManifestLoader
from deepseek_operator.cli.rehearsal import Rehearsal, as_written, rehearse, told
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.resources import Manifest

Output = Literal["text", "yaml", "json"]

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
LARGEST_REQUEST = 3 * 1024 * 1024
"""Bytes of one object that the API server reads (its MaxRequestBodyBytes); more is refused before anybody looks at it."""


@dataclass(frozen=True)
class Document:
    """One object and where it was read."""

    manifest: Manifest
    source: str

    @property
    def name(self) -> str:
        """`Kind namespace/name`, for people."""
        metadata = self.manifest.get("metadata") or {}
        return f"{self.manifest['kind']} {metadata.get('namespace') or 'default'}/{metadata.get('name', '')}"


@dataclass(frozen=True)
class Answer:
    """What would become of the documents.

    Attributes:
        rehearsals: of those that the server lets in.
        complaints: lines about the others, and about what would be Stalled or is passed over.
        is_made: nothing is refused or Stalled.
    """

    rehearsals: tuple[Rehearsal, ...]
    complaints: tuple[str, ...]
    is_made: bool


def read(names: Sequence[str], text_of: Callable[[str], str]) -> tuple[Document, ...]:
    """The objects of files and folders, in the order in which they are named and, in a folder, sorted.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is no YAML, a document is no object, or a folder holds none.
    """
    return tuple(document for name in names for file in _files(name) for document in _documents(file, text_of))


def _files(name: str) -> Iterator[str]:
    if name == "-" or not Path(name).is_dir():
        yield name
        return
    found = sorted(path for path in Path(name).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not found:
        raise ValueError(f"{name} is a folder without a .yaml, .yml or .json file")
    yield from map(str, found)


def _documents(source: str, text_of: Callable[[str], str]) -> Iterator[Document]:
    try:
        documents = list(yaml.load_all(text_of(source), ManifestLoader))
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not text in UTF-8: {error.reason} at byte {error.start}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{source}: {error}") from None
    for number, document in enumerate(documents, start=1):
        yield from _objects(document, f"{source}, document {number}")


def _objects(document: Any, source: str) -> Iterator[Document]:
    if document is None:
        return
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ValueError(f"{source}: every document must be an object with apiVersion, kind and metadata")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, source)
        return
    if not isinstance(document.get("metadata") or {}, dict):
        raise ValueError(f"{source}: metadata must be an object with a name")
    if _is_too_large(document):
        raise ValueError(f"{source}: Request entity too large: limit is {LARGEST_REQUEST}")
    yield Document(document, source)


def _is_too_large(document: Any) -> bool:
    """Whether the object is more than a request may carry, aliases written out; ends where it is."""
    left, values = LARGEST_REQUEST, [document]
    while values and left >= 0:
        value = values.pop()
        match value:
            case dict():
                values += (*value, *value.values())
                left -= 2 * len(value) + 2
            case list():
                values += value
                left -= len(value) + 1
            case str():
                left -= len(value) + 2
            case _:
                left -= 1
    return left < 0


async def planned(
    documents: Sequence[Document], seen: Sequence[Document] | None, configuration: Configuration, kinds: Kinds
) -> Answer:
    """What would become of the documents on a cluster that has `seen`; None: what is referred to is assumed.

    Raises:
        ValueError: one object is written twice.
    """
    _written_once(documents)
    names = [resource.kind for resource in kinds.owners]
    ours = [document for document in documents if document.manifest["kind"] in names]
    others = [document for document in documents if document.manifest["kind"] not in names]
    known = [document for document in (*others, *(seen or ())) if _is_known(document.manifest, kinds)]
    admitted, complaints = [], []
    for document in ours:
        refusals = list(_refusals(document, kinds))
        complaints += refusals
        if not refusals:
            admitted.append(document.manifest)
    there = [document.manifest for document in known]
    rehearsals = await rehearse(admitted, there, configuration, kinds, assume=seen is None)
    stalled = [line for rehearsal in rehearsals for line in _stalled(rehearsal)]
    passed = [
        f"{d.name} ({d.source}) is passed over: the operator does not look at it" for d in others if d not in known
    ]
    if not ours:
        complaints.append(f"there is {' and '.join(f'no {name}' for name in names)} in what was given")
    return Answer(rehearsals, (*complaints, *stalled, *passed), not complaints and not stalled)


def _written_once(documents: Iterable[Document]) -> None:
    first: dict[str, str] = {}
    for document in documents:
        if document.name in first:
            raise ValueError(f"{document.name} is written twice: {first[document.name]} and {document.source}")
        first[document.name] = document.source


def _is_known(manifest: Manifest, kinds: Kinds) -> bool:
    try:
        ref = kinds.ref_of(manifest)
    except (KeyError, TypeError):  # It names no resource, or is none.
        return False
    return isinstance(ref.name, str)


def _refusals(document: Document, kinds: Kinds) -> Iterator[str]:
    try:
        answer = admit(document.manifest, kinds.definitions)
    except KeyError:
        yield f"{document.name} ({document.source}): no matches for kind in version {document.manifest.get('apiVersion')}"
        return
    if isinstance(answer, Refused):
        yield from (f"{document.name} ({document.source}) is invalid: {reason}" for reason in answer.reasons)
        yield from (f"  {hint}" for hint in answer.hints)


def _stalled(rehearsal: Rehearsal) -> Iterator[str]:
    for condition in rehearsal.conditions:
        if (condition["type"], condition["status"]) == ("Stalled", "True"):
            yield f"{rehearsal.key} would be Stalled ({condition['reason']}): {condition.get('message', '')}"


def rendered(answer: Answer, output: Output) -> str:
    """The answer as text for people, or as one YAML or JSON document."""
    if output == "text":
        return told(answer.rehearsals)
    document = {
        "made": answer.is_made,
        "complaints": list(answer.complaints),
        "resources": [_as_document(rehearsal) for rehearsal in answer.rehearsals],
    }
    if output == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _as_document(rehearsal: Rehearsal) -> Mapping[str, Any]:
    key = rehearsal.key
    return {
        "kind": key.resource.kind,
        "namespace": key.namespace,
        "name": key.name,
        "assumed": list(rehearsal.assumed),
        "conditions": [dict(condition) for condition in rehearsal.conditions],
        "plan": dict(rehearsal.plan) if rehearsal.plan is not None else None,
        "objects": [as_written(manifest) for manifest in rehearsal.made],
    }
