"""What the chart takes from the list of kinds: rights, roles of users and monitors.

Helm's templates know no kind by name: they walk over the generated file.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from deepseek_operator.core.kinds import Entry, Kinds

HEADER = "# Generated from the list of kinds by `python3 -m deepseek_operator chart`; not to be edited.\n"
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


def kinds_file(kinds: Kinds) -> str:
    """YAML: `kinds`, the operator's `rules`, and `rulesWhereOwnersAreEnforced`, those that are asked for besides where the
    plug-in OwnerReferencesPermissionEnforcement runs."""
    usual, enforced = kinds.rights(), kinds.rights(where_enforced=True)
    besides = {resource: verbs - usual.get(resource, frozenset()) for resource, verbs in enforced.items()}
    told = {
        "kinds": [_told(entry) for entry in kinds],
        "rules": list(_rules(usual)),
        "rulesWhereOwnersAreEnforced": list(_rules(besides)),
    }
    return HEADER + yaml.safe_dump(told, sort_keys=False, default_flow_style=None, width=120)


def _told(entry: Entry) -> Mapping[str, Any]:
    """A kind as templates need it; `metricsPort` is empty for one whose pods tell no metrics."""
    return {
        "singular": entry.resource.kind.lower(),
        "plural": entry.resource.plural,
        "word": entry.word,
        "hasScale": entry.definition.has_scale,
        "isScaledByLoad": entry.demand is not None,
        "metricsPort": entry.metrics_port,
    }


def _rules(rights: Mapping[tuple[str, str], Iterable[str]]) -> Iterable[Mapping[str, Any]]:
    """RBAC's rules, one for the resources of a group with the same verbs."""
    resources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), verbs in rights.items():
        if granted := tuple(sorted(verbs, key=_VERBS.index)):
            resources.setdefault((group, granted), []).append(resource)
    for (group, granted), named in resources.items():
        yield {"apiGroups": [group], "resources": named, "verbs": list(granted)}
