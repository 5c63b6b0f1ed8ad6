"""The CustomResourceDefinitions, made from the models and from what each kind says beside its model (`api.definition`).

The files in `crds/` and in the chart are what `render` returns and are never edited. Rules that concern one part of the
spec stand beside that part in `v1alpha1/`, those that need the object's name or its status beside the kind's columns.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from deepseek_operator.api.definition import Definition, name_rule
from deepseek_operator.api.record import gathered_schema
from deepseek_operator.api.schema import structural, with_string_bound, without_defaults

HEADER = "# Generated from the models in operator/deepseek_operator/api by `python3 -m deepseek_operator crds`; not to be edited.\n"

# A condition's message may have this length (KEP-1623), and nothing else in a status is longer.
_STATUS_TEXT_LIMIT = 32768

# What a resource says until an operator has looked at it: -1 tells kstatus and the likes of it that nothing was observed
# yet, and a person sees the condition where no operator runs, or none that watches the namespace.
UNSEEN: Mapping[str, Any] = {
    "observedGeneration": -1,
    "conditions": [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NotSeen",
            "message": "no operator has looked at this resource yet: if that lasts, none runs, or it doesn't watch this "
            "namespace (the chart's watchNamespaces)",
            "observedGeneration": -1,
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
    ],
    "summary": {"ready": "Unknown", "reason": "NotSeen"},
}


def documents(definitions: Iterable[Definition]) -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions, sorted by name."""
    return tuple(_document(definition) for definition in sorted(definitions, key=lambda one: one.resource.plural))


def render(definitions: Iterable[Definition]) -> Mapping[str, str]:
    """The YAML text of every definition by file name; the same text for the same models, always."""
    return {
        f"{document['spec']['group']}_{document['spec']['names']['plural']}.yaml": HEADER + _yaml(document)
        for document in documents(definitions)
    }


def _document(definition: Definition) -> dict[str, Any]:
    resource = definition.resource
    group, _, version = resource.api_version.partition("/")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{group}",
            # Deleting a definition deletes every object of it: no uninstall may do that in passing.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [definition.short_name],
                "categories": ["deepseek"],
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema(definition)},
                    "subresources": _subresources(definition),
                    "additionalPrinterColumns": [column.manifest() for column in definition.columns],
                    "selectableFields": [{"jsonPath": path} for path in definition.selectable],
                }
            ],
        },
    }


def _root_schema(definition: Definition) -> dict[str, Any]:
    schema = structural(definition.model)
    status = gathered_schema(without_defaults(schema["properties"]["status"]))
    status = with_string_bound(status, _STATUS_TEXT_LIMIT)
    return {
        "type": "object",
        "description": schema["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of this form of the object."},
            "kind": {"type": "string", "description": "Kind of the object."},
            "metadata": {"type": "object"},
            "spec": schema["properties"]["spec"],
            "status": {**status, "default": UNSEEN},
        },
        "x-kubernetes-validations": [name_rule(definition.resource.kind), *definition.rules],
    }


def _subresources(definition: Definition) -> dict[str, Any]:
    if not definition.has_scale:
        return {"status": {}}
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return {"status": {}, "scale": scale}


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: two equal parts are written twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_NUMBER_IN_SOME_YAML = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")


def _quoted_like_a_number(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """YAML 1.1 reads a plain 1e-5 as text, JSON-minded readers (Helm) as a number: such texts are always quoted."""
    style = '"' if _NUMBER_IN_SOME_YAML.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted_like_a_number)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
