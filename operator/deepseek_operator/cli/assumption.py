"""What a resource refers to and nobody has shown: made up for a rehearsal, as it would be once all is well."""

from collections.abc import Mapping
from datetime import datetime

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Entry
from deepseek_operator.core.resources import Manifest, Ref
from deepseek_operator.core.seen import Seen


def assumptions(
    entry: Entry, manifest: Manifest, known: Mapping[Ref, Manifest], now: datetime
) -> list[tuple[Manifest, str]]:
    """Objects of the resource's namespace that it refers to and that are not known, each with a line for people.

    One may lead to the next. KeyError: it refers to a resource of which its kind doesn't say what to assume.
    """
    kind = entry.make(Configuration())
    owner = kind.parse(manifest)
    made: dict[Ref, Manifest] = {}
    told: list[str] = []
    while missing := set(kind.needs(Seen(owner, now, references={**known, **made})).references) - {*known, *made}:
        for ref in sorted(missing):
            assumed = entry.assumed[ref.resource](manifest, ref.name)
            metadata = {"name": ref.name, "namespace": manifest["metadata"]["namespace"]}
            identity = {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind, "metadata": metadata}
            made[ref] = {**identity, **assumed.body}
            told.append(f"{ref.resource.kind} {ref.name} {assumed.words}")
    return list(zip(made.values(), told, strict=True))
