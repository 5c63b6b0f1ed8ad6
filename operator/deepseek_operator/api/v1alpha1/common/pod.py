"""Where pods run and how they are labelled: an allow-list, never a free pod template."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, ClaimName, DnsLabel, LabelKey, LabelValue, rule, rules

_RESERVED = (
    "self.all(key, !key.matches('^(.*[.])?(kubernetes[.]io|(.*-)?k8s[.]io|deepseek-operator[.]io)/') || "
    "key in ['app.kubernetes.io/part-of', 'app.kubernetes.io/version'])"
)


_NOT_RESERVED = (
    "keys of kubernetes.io, k8s.io and deepseek-operator.io belong to the cluster and the operator: write a key of your "
    "own, for example example.com/cost-center; a queue's label belongs into metadata.labels of this resource"
)


_CONTROLLERS = ("pod-template-hash", "controller-uid", "controller-revision-hash", "job-name")


class Toleration(ApiModel):
    """A toleration as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.operator != 'Exists' || !has(self.value)", "operator Exists compares no value: remove value"),
            rule(
                "self.operator != 'Equal' || has(self.key)",
                "operator Equal needs key; operator Exists without key means every taint",
            ),
        )
    )

    key: LabelKey | None = Field(default=None, description="Taint key. Absent with operator Exists: every taint.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How the value is compared. Default Equal."
    )
    value: LabelValue | None = Field(default=None, description="Taint value for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; absent: all effects."
    )


class PodSettings(ApiModel):
    """The pod settings that a tenant may write."""

    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Further labels of the pods, at most 16; those of Kubernetes and of the operator can't be written. Example: {example.com/cost-center: research}.",
        json_schema_extra=rules(
            rule(_RESERVED, _NOT_RESERVED),
            rule(
                f"self.all(key, !(key in {list(_CONTROLLERS)}))",
                f"{', '.join(_CONTROLLERS)} are set by the controllers of Kubernetes: choose another key",
            ),
        ),
    )
    annotations: dict[LabelKey, Annotated[str, StringConstraints(max_length=1024)]] = Field(
        default_factory=dict,
        max_length=16,
        description="Further annotations of the pods, at most 16 of at most 1,024 characters. Example: {example.com/contact: team-a}.",
        json_schema_extra=rules(rule(_RESERVED, _NOT_RESERVED)),
    )
    image_pull_secrets: list[ClaimName] = Field(
        default_factory=list,
        max_length=8,
        description="Names of Secrets of this namespace with which the image is pulled. Example: [registry-team-a].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels that a node must have. Example: {topology.kubernetes.io/zone: a}.",
    )
    tolerations: list[Toleration] = Field(
        default_factory=list,
        max_length=32,
        description="Taints that the pods tolerate.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    priority_class_name: DnsLabel | None = Field(
        default=None, description="An existing PriorityClass. Absent: the cluster's default."
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=5, le=7200)] | None = Field(
        default=None,
        description="Seconds between SIGTERM and SIGKILL; a training saves a checkpoint in it, a serving pod drains. Default 120 for training, 60 for serving.",
    )
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        default=1000, description="Numeric user of the containers, never 0. Default 1000."
    )
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        default=1000, description="Group that may write to the volumes. Default 1000."
    )
