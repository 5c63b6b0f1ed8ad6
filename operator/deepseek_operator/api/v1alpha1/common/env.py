"""Environment of a container: literal values and Secrets of the namespace, by name."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, ClaimName, Says, rule, rules


class SecretKey(ApiModel):
    """One entry of a Secret of the resource's own namespace. The kubelet reads it; the operator has no right to."""

    name: ClaimName = Field(description="Name of the Secret. Example: hub-token.")
    key: Annotated[
        str,
        StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253),
        Says("write a key of the Secret: letters, digits, '-', '_' and '.', for example token"),
    ] = Field(description="Key in its data. Example: token.")


Word = Annotated[str, StringConstraints(max_length=4096)]
"""One word of a command, or the value of a variable."""
Command = Annotated[
    list[Word] | None,
    Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]
Arguments = Annotated[list[Word], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})]

MOST_WORDS = 131_072
"""Characters of a container's command, arguments and literal environment: what Linux takes of one word (MAX_ARG_STRLEN),
and little enough for the API server, which keeps the resource and a template for each of its children."""


def words_rule(where: str) -> dict[str, str]:
    """Each word has a bound of its own; this is the bound of all of them together."""
    command, args = (f"(has(self.{name}) ? self.{name}.map(w, size(w)).sum() : 0)" for name in ("command", "args"))
    env = "(has(self.env) ? self.env.map(e, size(e.value)).sum() : 0)"
    return rule(
        f"{command} + {args} + {env} <= {MOST_WORDS}",
        f"{where}.command, args and the values of env may have {MOST_WORDS:,} characters together: put the rest into the "
        "image, or into a file on a claim",
    )


class EnvVar(ApiModel):
    """One environment variable: a literal value, or one entry of a Secret."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.secret) || self.value == ''", "write value or secret of a variable, not both"),
        )
    )

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128),
        Says("write a name of letters, digits and '_', for example LOG_LEVEL"),
    ] = Field(
        description="Name of the variable. Names that start with DEEPSEEK_ are the operator's.",
        json_schema_extra=rules(
            rule(
                "!self.startsWith('DEEPSEEK_')",
                "variables that start with DEEPSEEK_ are set by the operator: choose another name",
            )
        ),
    )
    value: Word = Field(
        default="", description="Literal value, at most 4,096 characters. Default empty. Example: INFO."
    )
    secret: SecretKey | None = Field(
        default=None,
        description="Entry of a Secret of this namespace that the variable takes its value from, in place of valueFrom and secretKeyRef. Example: {name: hub-token, key: token}.",
    )

    def to_container(self) -> dict[str, Any]:
        """The variable of a container that takes its value from a Secret, or has it literally."""
        if self.secret is not None:
            return {"name": self.name, "valueFrom": {"secretKeyRef": self.secret.to_wire()}}
        return {"name": self.name, "value": self.value}


Environment = Annotated[
    list[EnvVar],
    Field(
        max_length=128,
        description="Environment: a list of name and value, or name and secret. Example: [{name: LOG_LEVEL, value: INFO}].",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
