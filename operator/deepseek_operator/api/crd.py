"""The CustomResourceDefinitions, made from the models: names, columns, subresources, and the rules over whole objects.

The files in `crds/` and in the chart are what `render()` returns and are never edited. Rules that concern one part of
the spec stand beside that part in `v1alpha1/`; here stand those that need the object's name or its status: which edits
are let in once a training has started. A rule over status costs no webhook and can't be bypassed by one that is down.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from deepseek_operator.api.base import ApiModel, rule
from deepseek_operator.api.record import gathered_schema
from deepseek_operator.api.schema import structural, with_string_bound, without_defaults
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining

HEADER = "# Generated from the models in operator/deepseek_operator/api by `python3 -m deepseek_operator crds`; not to be edited.\n"

# A condition's message may have this length (KEP-1623), and nothing else in a status is longer.
_STATUS_TEXT_LIMIT = 32768

# Names of children add up to 23 characters to the owner's, and must stay DNS labels of at most 63.
_NAME_LIMIT = 40


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


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`. `wide` columns need `-o wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def manifest(self) -> dict[str, Any]:
        """The additionalPrinterColumn."""
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
            "priority": int(self.wide),
        }


@dataclass(frozen=True)
class Definition:
    """What a CustomResourceDefinition needs beside the model."""

    model: type[ApiModel]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]
    rules: tuple[dict[str, str], ...] = ()
    has_scale: bool = False


_AGE = Column("AGE", ".metadata.creationTimestamp", "Time since creation.", "date")

_TRAINING_COLUMNS = (
    Column("PHASE", ".status.phase", "Where the training is in its life."),
    Column("READY", ".status.summary.ready", "True while all workers run, and once complete."),
    Column("REASON", ".status.summary.reason", "Why it is ready or not, and what stands in the way."),
    Column("WORKERS", ".status.summary.workers", "Pods that run or have succeeded, of the wanted ones."),
    Column("PROGRESS", ".status.summary.progress", "Steps that are done, of all."),
    Column("ETA", ".status.summary.eta", "Estimated time until the last step."),
    Column("LOSS", ".status.progress.loss", "Last training loss that was reported."),
    Column("RESTARTS", ".status.restarts", "Crashes that were answered by another attempt.", "integer"),
    _AGE,
    Column("STEP", ".status.progress.step", "Last optimizer step that was reported.", "integer", wide=True),
    Column("ATTEMPT", ".status.attempt.number", "Number of the current attempt.", "integer", wide=True),
    Column("TOKENS/S", ".status.progress.tokensPerSecond", "Training throughput of all workers.", wide=True),
    Column("LAST-CKPT", ".status.lastCheckpoint.step", "Step of the newest checkpoint.", "integer", wide=True),
    Column("MODEL", ".spec.model.name", "Name of the model.", wide=True),
    Column("GPUS", ".status.plan.gpus", "Devices of the training, under a profile.", "integer", wide=True),
    Column("LAYOUT", ".status.plan.layout", "How the model lies on them.", wide=True),
)

_SERVING_COLUMNS = (
    Column("READY", ".status.summary.ready", "True while the wanted replicas answer."),
    Column("REPLICAS", ".status.summary.replicas", "Ready replicas of the wanted ones."),
    Column("MODEL", ".status.summary.model", "What answers; during a rollout also what shall answer."),
    Column("PHASE", ".status.phase", "What is going on."),
    Column("REASON", ".status.summary.reason", "Why it is ready or not, and what stands in the way."),
    Column("URL", ".status.url", "Address inside the cluster."),
    _AGE,
    Column("REVISION", ".status.current.name", "The revision that is wanted.", wide=True),
    Column("MIN", ".spec.autoscaling.minReplicas", "Fewest replicas under autoscaling.", "integer", wide=True),
    Column("MAX", ".spec.autoscaling.maxReplicas", "Most replicas under autoscaling.", "integer", wide=True),
    Column("WANTED", ".status.autoscaling.desired", "Replicas that the autoscaler wants.", "integer", wide=True),
    Column("GPUS", ".status.plan.gpus", "Devices of one replica, under a profile.", "integer", wide=True),
    Column("LAYOUT", ".status.plan.layout", "How the model lies on them.", wide=True),
)


def _name_rule(kind: str) -> dict[str, str]:
    return rule(
        f"size(self.metadata.name) <= {_NAME_LIMIT} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"the name of a {kind} must be at most {_NAME_LIMIT} characters of a-z, 0-9 and '-', start with a letter and not "
        "end with '-': pods and Services are named after it",
    )


def _equal(path: str) -> str:
    """The field is as it was: absent then and now, or equal.

    Every object above it has a default and is always present, so only the field itself may be absent.
    """
    parent, _, field = path.rpartition(".")
    new, old = f"self.{parent}", f"oldSelf.{parent}"
    return f"has({new}.{field}) == has({old}.{field}) && (!has({new}.{field}) || {new}.{field} == {old}.{field})"


_HAS_STARTED = "has(oldSelf.status) && has(oldSelf.status.attempt)"
# The same as kinds.training.anew.is_unlearnt, which a test holds: no attempt has written, and the one under way does not
# run yet.
IS_UNLEARNT = (
    "has(oldSelf.status.volume) && has(oldSelf.status.volume.used) && !oldSelf.status.volume.used && "
    "!has(oldSelf.status.lastCheckpoint) && !(has(oldSelf.status.exports) && size(oldSelf.status.exports) > 0) && "
    "(has(oldSelf.status.attempt.verdict) || !has(oldSelf.status.attempt.runningAt)) && "
    "!(has(oldSelf.status.result) && oldSelf.status.result == 'Complete')"
)
_GO_ON = "create a new DeepSeekTraining with checkpoints.resume.from to go on from its checkpoints"
_FIXED_ONCE_STARTED = (
    ("spec.objective", _GO_ON),
    ("spec.model", _GO_ON),
    ("spec.method", _GO_ON),
    ("spec.datasets", _GO_ON),
    ("spec.hyperparameters", _GO_ON),
    ("spec.checkpoints.resume", _GO_ON),
    ("spec.checkpoints.volume.claimName", "create a new DeepSeekTraining on the other claim"),
    ("spec.checkpoints.volume.subPath", "create a new DeepSeekTraining on the other folder"),
)
_FIXED_ONCE_MADE = (
    ("spec.checkpoints.volume.storageClassName", "create a new DeepSeekTraining with the other storage class"),
    ("spec.checkpoints.volume.accessMode", "create a new DeepSeekTraining with the other access mode"),
)

# What the operator asks for where no size is written (CheckpointVolume.size).
_DEFAULT_SIZE = "10Gi"


def _edit_rules() -> Iterable[dict[str, str]]:
    fixed = [(*entry, f"!({_HAS_STARTED}) || ({IS_UNLEARNT})") for entry in _FIXED_ONCE_STARTED]
    made = [(*entry, f"!({_HAS_STARTED})") for entry in _FIXED_ONCE_MADE]
    for path, remedy, is_free in (*fixed, *made):
        message = f"{path} is fixed once the training has started: {remedy}"
        yield rule(f"{is_free} || ({_equal(path)})", message, fieldPath=f".{path}")
    size = "spec.checkpoints.volume.size"
    new, old = (f"quantity(has({at}.{size}) ? string({at}.{size}) : '{_DEFAULT_SIZE}')" for at in ("self", "oldSelf"))
    yield rule(
        f"!({_HAS_STARTED}) || {new}.compareTo({old}) >= 0",
        f"{size} may only grow once the training has started ({_DEFAULT_SIZE} where none is written): write the old size or more",
        fieldPath=f".{size}",
    )


_DEFINITIONS = (
    Definition(
        DeepSeekServing,
        "deepseekservings",
        "dss",
        _SERVING_COLUMNS,
        (".status.phase", ".spec.model.fromTraining.name"),
        (_name_rule("DeepSeekServing"),),
        has_scale=True,
    ),
    Definition(
        DeepSeekTraining,
        "deepseektrainings",
        "dst",
        _TRAINING_COLUMNS,
        (".status.phase", ".spec.suspend"),
        (_name_rule("DeepSeekTraining"), *_edit_rules()),
    ),
)


def documents() -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions, sorted by name."""
    return tuple(_document(definition) for definition in _DEFINITIONS)


def render() -> Mapping[str, str]:
    """The YAML text of every definition by file name; the same text for the same models, always."""
    return {
        f"{document['spec']['group']}_{document['spec']['names']['plural']}.yaml": HEADER + _yaml(document)
        for document in documents()
    }


def _document(definition: Definition) -> dict[str, Any]:
    fields = definition.model.model_fields
    group, _, version = str(fields["api_version"].default).partition("/")
    kind = str(fields["kind"].default)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{definition.plural}.{group}",
            # Deleting a definition deletes every object of it: no uninstall may do that in passing.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": definition.plural,
                "singular": kind.lower(),
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
        "x-kubernetes-validations": list(definition.rules),
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
