"""What every model of the public API shares: camelCase on the wire, bounds, conditions, object metadata.

A spec model refuses unknown fields (the API server prunes or refuses them first); metadata and status tolerate
them, so that an older operator reads what a newer one wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import literal_schema, no_info_before_validator_function

from deepseek_operator.api import record

Manifest = Mapping[str, Any]


class ApiModel(BaseModel):
    """A frozen value with camelCase names on the wire.

    A field whose default is such a value has the same one in all resources, made once: `default_factory=cache(Nodes)`.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=False
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON form: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True)
class OneOf:
    """A string that is one of these words: an enum whose members are read from a table."""

    words: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The words as pydantic reads a Literal."""
        return literal_schema(list(self.words))


class StatusModel(ApiModel):
    """Part of a status: unknown fields (of a newer operator) are tolerated when read."""

    model_config = ConfigDict(extra="ignore")


class ObjectMeta(StatusModel):
    """The metadata that the operator reads."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    @property
    def is_deleting(self) -> bool:
        """True once the user asked for the deletion."""
        return self.deletion_timestamp is not None


class Condition(StatusModel):
    """One judgement, in the form of KEP-1623."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(
        description="What is judged, unique in the list. Example: Ready."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="True, False, or Unknown while it can not be seen.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="Cause in one CamelCase word, for programs. Example: WaitingForCapacity."
    )
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(
        default="", description="Cause as a sentence with its numbers, for people."
    )
    observed_generation: int = Field(default=0, description="metadata.generation that was judged.")
    last_transition_time: str = Field(description="When status last changed, RFC 3339.")


class Summary(StatusModel):
    """Ready-made strings for the printed columns, which can't choose: Ready is absent while a resource rests."""

    ready: str = Field(default="", description="Status of the condition Ready; False while it rests. Example: True.")
    reason: str = Field(
        default="", description="Reason of the condition Ready, or of Suspended in its place. Example: Running."
    )


class ObservedStatus(StatusModel):
    """What every status begins with: conditions, and the generation that they are about."""

    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Ready, Reconciling and Stalled, as kstatus reads them; others where there is something to tell, such as SizingWarning.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int = Field(
        default=-1, description="metadata.generation that this status is about; -1: nothing was observed yet."
    )

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, value: Any) -> Any:
        return record.spread(value) if isinstance(value, Mapping) else value

    def to_wire(self) -> dict[str, Any]:
        """The JSON form as it is stored: nothing that is empty, and what only the operator reads under `record`.

        A condition has a message even where that is empty: `metav1.Condition` requires the key.
        """
        told = record.without_empty(super().to_wire())
        if "conditions" in told:
            told["conditions"] = [{**one, "message": one.get("message", "")} for one in told["conditions"]]
        return record.gathered(told, record.paths(type(self)))


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T08:09:10Z`: UTC, whole seconds, as Kubernetes writes time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_YEARS = range(1970, 9000)
"""Of a moment that something may have happened at, and that any interval may be added to."""


def parse_time(text: str | None) -> datetime | None:
    """The moment that an RFC 3339 text names; None for none.

    A text that names no moment counts as none: whoever may write a status may write anything there.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None and moment.year in _YEARS else None


def rule(expression: str, message: str, **extra: str) -> dict[str, str]:
    """One CEL rule of `x-kubernetes-validations`; the message says what to write instead."""
    return {"rule": expression, "message": message, **extra}


def together(unless: str, *parts: dict[str, str], at: str) -> dict[str, str]:
    """Several rules as one that holds where `unless` does, and else where all do; every broken one is told, as of field `at`.

    The API server judges all rules again whenever a status is written, and each step into an object costs it a copy of the
    schemas of all fields there: what several rules ask first is asked once, and it is that most objects need no more.
    """
    whole = " && ".join(f"({part['rule']})" for part in parts)
    told = (f"(({part['rule']}) ? '' : {dumps('; ' + part['message'], ensure_ascii=False)})" for part in parts)
    words = f"({' + '.join(told)}).replace('; ', '', 1)"
    return {"rule": f"{unless} || ({whole})", "messageExpression": words, "fieldPath": at}


def rules(*cel: dict[str, str]) -> dict[str, Any]:
    """`json_schema_extra` that carries CEL rules."""
    return {"x-kubernetes-validations": list(cel)}


@dataclass(frozen=True)
class Says:
    """What a user who wrote something else is told to write; stands beside a pattern."""

    message: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), MESSAGE: self.message}


class NumberAsText:
    """A text that may also be written as a whole number: Kubernetes' int-or-string, kept as text.

    A fraction must be quoted. The only structural form that lets one in is a field of unknown shape, which no rule in CEL
    can reach (tried on 1.36: "undefined field"): bounds and the sentences that help would go, for texts as well.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(_number_as_text, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), INT_OR_STRING: True}


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


INT_OR_STRING = "x-kubernetes-int-or-string"

# Key of the JSON schema that carries the sentence from a type to its rule.
MESSAGE = "x-message"

# Every string is hostile and bounded. The patterns are RE2, as the API server reads them.
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_PATH_STEP = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_MATCHING_STEP = r"[A-Za-z0-9_*?-][A-Za-z0-9._*?-]*"
_HUB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_WEB = rf"https?://{_SUBDOMAIN}(:[1-9][0-9]{{0,4}})?"
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_IMAGE_STEP = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE_HOST = r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:[0-9]{1,5})?"

DnsLabel = Annotated[
    str,
    StringConstraints(pattern=rf"^{_DNS_LABEL}$", max_length=63),
    Says("write a name of a-z, 0-9 and '-', for example team-a"),
]
ClaimName = Annotated[
    str,
    StringConstraints(pattern=rf"^{_SUBDOMAIN}$", max_length=253),
    Says("write a name of a-z, 0-9, '-' and '.', for example checkpoints"),
]
# A step starts with no dot: neither `..` nor a hidden folder, and no absolute path, can be written.
RelativePath = Annotated[
    str,
    StringConstraints(pattern=rf"^{_PATH_STEP}(/{_PATH_STEP})*$", max_length=512),
    Says("write a relative path without . and .., for example runs/2026"),
]
PvcUri = Annotated[
    str,
    StringConstraints(pattern=rf"^pvc://{_SUBDOMAIN}(/{_PATH_STEP})*$", max_length=512),
    Says("write pvc://<claim of this namespace>/<path without . and ..>, for example pvc://models/deepseek-v2-lite"),
]
# A revision is written out: without one, what is fetched would depend on the day.
SourceUri = Annotated[
    str,
    StringConstraints(
        pattern=rf"^(pvc://{_SUBDOMAIN}(/{_PATH_STEP})*|hf://{_HUB_NAME}@{_PATH_STEP}|s3://{_BUCKET}(/{_PATH_STEP})+|{_WEB}/({_PATH_STEP}/)*)$",
        max_length=512,
    ),
    Says(
        "write pvc://<claim of this namespace>/<path without . and ..>, hf://<organisation>/<model>@<branch, tag or commit>, "
        "s3://<bucket>/<prefix> or https://<host>/<folder>/, for example pvc://models/deepseek-v2-lite or "
        "hf://deepseek-ai/DeepSeek-V2-Lite@main"
    ),
]
ContentDigest = Annotated[
    str,
    StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71),
    Says("write the digest that status.sources shows of a source that was fetched, sha256: and 64 hex digits"),
]
DatasetUri = Annotated[
    str,
    StringConstraints(
        pattern=rf"^(pvc://{_SUBDOMAIN}(/{_MATCHING_STEP})+|image://(/{_MATCHING_STEP})+|builtin://[a-z0-9][-a-z0-9]*|hf://datasets/{_HUB_NAME}@{_PATH_STEP}(/{_MATCHING_STEP})*|s3://{_BUCKET}(/{_MATCHING_STEP})+|{_WEB}/({_PATH_STEP}/)*({_PATH_STEP})?)$",
        max_length=512,
    ),
    Says(
        "write pvc://<claim>/<file>, or a folder or pattern in its place, image:///<path in the image>, builtin://<task>, "
        "hf://datasets/<organisation>/<dataset>@<branch, tag or commit>/<file, folder or pattern>, s3://<bucket>/<the same> or "
        "https://<host>/<file, or folder/>, for example pvc://corpora/a.jsonl or pvc://corpora/2026/*.parquet"
    ),
]
FilePath = Annotated[
    str,
    StringConstraints(pattern=rf"^{_PATH_STEP}(/{_PATH_STEP})*$", max_length=512),
    Says("write the path from the root of the claim, for example corpora/train.jsonl.dvc"),
]
# At most two digits of exponent: everything that fits is a finite double, for the rules and for the trainer.
Decimal = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$", max_length=32),
    Says('write a quoted decimal, for example "3e-5"'),
    NumberAsText(),
]
# A Decimal in a list: its sentence would cost the server's estimate of its rules more than there is (see api.schema).
Weight = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$", max_length=32),
    NumberAsText(),
]
Quantity = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$", max_length=32),
    Says("write a quantity, for example 64Gi"),
    NumberAsText(),
]
# host[:port]/path[:tag][@digest], as registries read it: no credentials, no scheme, no capitals in the path.
Image = Annotated[
    str,
    StringConstraints(
        pattern=rf"^({_IMAGE_HOST}/)?{_IMAGE_STEP}(/{_IMAGE_STEP})*(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?$",
        max_length=512,
    ),
    Says("write an image as [host/]path[:tag][@sha256:…], for example registry.example.com/team/train:1.4"),
]
ResourceName = Annotated[
    str,
    StringConstraints(pattern=rf"^{_SUBDOMAIN}/{_LABEL_NAME}$", max_length=128),
    Says("write the device plugin's resource, for example nvidia.com/gpu"),
]
LabelKey = Annotated[
    str,
    StringConstraints(pattern=rf"^({_SUBDOMAIN}/)?{_LABEL_NAME}$", max_length=317),
    Says("write a label key, for example topology.kubernetes.io/zone"),
]
LabelValue = Annotated[
    str,
    StringConstraints(pattern=rf"^({_LABEL_NAME})?$", max_length=63),
    Says("write at most 63 characters of A-Z, a-z, 0-9, '-', '_' and '.', beginning and ending with a letter or digit"),
]
