"""How a serving is reached from outside: its place at a Gateway of the administrator's, and what that asks of requests."""

from functools import cache
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, DnsLabel, Image, Says, rule, rules
from deepseek_operator.api.v1alpha1.serving.model import ServedName

MAX_BODY_SIZE = "32Mi"
"""Of a request: a context of a million tokens takes about 4 MiB as text."""

REQUEST_SECONDS = 3600
STREAM_IDLE_SECONDS = 300
RETRIES = 2
CACHE_SECONDS = 3600
CACHE_SIZE = "256Mi"

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

GatewayName = Annotated[
    str,
    StringConstraints(pattern=f"^{_SUBDOMAIN}$", max_length=253),
    Says("write the name of a Gateway: a-z, 0-9, '-' and '.', for example public"),
]
SectionName = Annotated[
    str,
    StringConstraints(pattern=f"^{_SUBDOMAIN}$", max_length=253),
    Says("write the name of one of the Gateway's listeners, for example https"),
]
Hostname = Annotated[
    str,
    StringConstraints(pattern=rf"^(\*\.)?{_SUBDOMAIN}$", max_length=253),
    Says("write host names in small letters, without scheme, port and path, for example chat.example.com"),
]
# Whole numbers of at most 999 Mi: the gateway holds a request's body in memory until it is whole.
BodySize = Annotated[
    str,
    StringConstraints(pattern=r"^([1-9][0-9]{0,8}|[1-9][0-9]{0,5}Ki|[1-9][0-9]{0,2}Mi)$", max_length=9),
    Says("write a whole number of bytes, Ki or Mi, up to 999Mi, for example 32Mi"),
]


Issuer = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]+$", max_length=253),
    Says("write the claim iss of the tokens, for example https://login.example.com"),
]
Audience = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]+$", max_length=253),
    Says("write audiences as the tokens' claim aud has them, for example deepseek"),
]
_HOST = r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?"
"""A name and no address: what has an address alone (a cloud's metadata, a pod) has no certificate that could be verified."""
KeysUri = Annotated[
    str,
    StringConstraints(pattern=rf"^https://{_HOST}(:[1-9][0-9]{{0,4}})?(/[!-~]*)?$", max_length=253),
    Says(
        "write an address by https with the provider's name as host, which its certificate is for, for example "
        "https://login.example.com/keys"
    ),
]
BackendName = Annotated[
    str,
    StringConstraints(pattern=f"^{_SUBDOMAIN}$", max_length=253),
    Says("write the name of a Backend: a-z, 0-9, '-' and '.', for example login"),
]
ConfigMapName = Annotated[
    str,
    StringConstraints(pattern=f"^{_SUBDOMAIN}$", max_length=253),
    Says("write the name of a ConfigMap: a-z, 0-9, '-' and '.', for example token-keys"),
]


CacheSize = Annotated[
    str,
    StringConstraints(pattern=r"^([1-9][0-9]{0,4}Mi|[1-9][0-9]{0,2}Gi)$", max_length=7),
    Says("write a whole number of Mi or Gi, up to 999Gi, for example 256Mi"),
]


class ParentRef(ApiModel):
    """The Gateway, as an HTTPRoute refers to it."""

    name: GatewayName = Field(description="Name of the Gateway. Example: public.")
    namespace: DnsLabel | None = Field(
        default=None,
        description="Its namespace; the listener's allowedRoutes must let this one in. Absent: this namespace. Example: gateways.",
    )
    section_name: SectionName | None = Field(
        default=None, description="One of its listeners. Absent: every one that lets the route in. Example: https."
    )


class Timeouts(ApiModel):
    """How long the gateway waits."""

    request_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=REQUEST_SECONDS,
        description=f"Seconds from a request's end to the end of its whole answer, retries and streams included. Default {REQUEST_SECONDS}.",
    )
    stream_idle_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=STREAM_IDLE_SECONDS,
        description=f"Seconds without a byte in either direction, those before the first token included, after which a request is ended. Default {STREAM_IDLE_SECONDS}.",
    )


class Limits(ApiModel):
    """What the gateway lets in."""

    max_body_size: BodySize = Field(
        default=MAX_BODY_SIZE,
        description=f"Bytes of a request's body; a larger one is answered with 413. Default {MAX_BODY_SIZE}.",
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=1000000)] | None = Field(
        default=None,
        description="Requests of one client in a minute, by each proxy of the gateway; more are answered with 429. A client is a key or a token's subject under auth, else an address. Absent: any number. Example: 600.",
    )
    tokens_per_minute: Annotated[int, Field(ge=1, le=1000000000)] | None = Field(
        default=None,
        description="Tokens of one client in a minute by the clock, prompts and answers as the engine counts them, by all proxies together; once they are used up, requests are answered with 429. An answer counts when it ends. Needs auth, and a gateway that counts tokens (docs/gateway.md). Absent: any number. Example: 100000.",
    )
    concurrency: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None,
        description="Requests at once from one proxy of the gateway to this serving, streams included; more are answered with 503. Absent: 65536. Example: 256.",
    )


class TokenKeys(ApiModel):
    """Where the public keys are by which tokens are verified."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.uri) != has(self.configMapName)",
                "write exactly one of uri (where the identity provider publishes its keys) and configMapName (a ConfigMap "
                "of this namespace that has them)",
            ),
            rule(
                "!has(self.backendName) || has(self.uri)",
                "backendName says by which Backend uri is fetched: write uri beside it, or leave it out",
            ),
        )
    )

    uri: KeysUri | None = Field(
        default=None,
        description="Where the identity provider publishes them as a JWKS, by https; the gateway fetches them, again and again. Example: https://login.example.com/keys.",
    )
    backend_name: BackendName | None = Field(
        default=None,
        description="Backend of Envoy Gateway, of this namespace, by which uri is fetched: with it the gateway verifies the provider's name, and may trust an authority of your own. Absent: it takes keys from whoever answers with a certificate that Envoy's image trusts, whatever name is in it. Example: login.",
    )
    config_map_name: ConfigMapName | None = Field(
        default=None,
        description="ConfigMap of this namespace that has them as a JWKS, under jwks. Example: token-keys.",
    )


class Tokens(ApiModel):
    """Tokens (JWT) of an identity provider, which the gateway verifies."""

    issuer: Issuer = Field(description="Their claim iss. Example: https://login.example.com.")
    audiences: list[Audience] = Field(
        min_length=1,
        max_length=8,
        description="One of these must be among their claim aud. Example: [deepseek].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    jwks: TokenKeys = Field(description="Where the public keys are by which they are verified.")


class Auth(ApiModel):
    """Who is let in: whoever has a key or a token for this serving, of those that count here."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.apiKeys || has(self.jwt)",
                "gateway.auth lets nobody in as it is: write apiKeys: true, jwt, or both; leave auth out to let everybody in",
            )
        )
    )

    api_keys: bool = Field(
        default=False,
        description="True: API keys of this namespace, made by deepseek-operator key new. Beside jwt they are sent as x-api-key. Default false.",
    )
    jwt: Tokens | None = Field(
        default=None,
        description="Tokens of an identity provider whose claim scope has deepseek:NAME, of this serving or a model, or deepseek:*. Absent: none count.",
    )


class Cache(ApiModel):
    """nginx before each revision that gets requests. It keeps answers for the client that asked, of requests that say
    temperature 0 themselves and want no stream; all others pass."""

    image: Image = Field(
        description="Image with nginx 1.22 or newer, njs 0.8 or newer and a shell, as the official one. Example: docker.io/library/nginx:1.28.",
    )
    ttl_seconds: Annotated[int, Field(ge=1, le=604800)] = Field(
        default=CACHE_SECONDS, description=f"Seconds that an answer is given again. Default {CACHE_SECONDS}."
    )
    max_size: CacheSize = Field(
        default=CACHE_SIZE,
        description=f"Of all answers that a pod of the cache keeps, in its memory. Default {CACHE_SIZE}.",
    )


class Grpc(ApiModel):
    """A route for gRPC beside that for /v1: of engines that answer it, those methods that ask the model or tell of it."""

    hostnames: list[Hostname] = Field(
        default_factory=list,
        max_length=16,
        description="Host names under which it answers gRPC; no other serving may have one of them. Absent: gateway.hostnames, which Envoy Gateway takes for both, and others may refuse. Example: [chat-grpc.example.com].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Gateway(ApiModel):
    """A route for /v1 from a Gateway of the administrator's to the replicas, by revision."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.cache) || has(self.auth)",
                "gateway.cache keeps answers for each client, and without gateway.auth nobody says which client asks: write "
                "auth: {apiKeys: true} beside it, or leave out cache",
            ),
            rule(
                "!has(self.limits) || !has(self.limits.tokensPerMinute) || has(self.auth)",
                "gateway.limits.tokensPerMinute counts for each client, and without gateway.auth nobody says which client "
                "asks: write auth: {apiKeys: true} beside limits, or leave out tokensPerMinute",
            ),
            rule(
                "!has(self.limits) || !has(self.limits.tokensPerMinute) || !has(self.grpc)",
                "gateway.limits.tokensPerMinute can't count the tokens of answers by gRPC, so that clients would get around it: "
                "write requestsPerMinute in its place, or leave out grpc",
            ),
        )
    )

    parent_ref: ParentRef = Field(description="The Gateway that the route hangs on.")
    hostnames: list[Hostname] = Field(
        default_factory=list,
        max_length=16,
        description="Host names under which this serving alone answers. Absent: those of the Gateway's listener. Example: [chat.example.com].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    models: list[ServedName] = Field(
        default_factory=list,
        max_length=16,
        description="Names by which clients ask for it, in place of model.name: all of them reach the same model, and the engine shows the first as its own. Part of the revision. Absent: model.name. Example: [deepseek-chat, deepseek-reasoner].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    timeouts: Timeouts = Field(default_factory=cache(Timeouts), description="How long the gateway waits.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=RETRIES,
        description=f"Times that the gateway tries another replica with a request that none has begun to answer: no connection, or 503. Default {RETRIES}.",
    )
    limits: Limits = Field(default_factory=cache(Limits), description="What the gateway lets in.")
    auth: Auth | None = Field(
        default=None,
        description="Who is let in. Requests then go by their field model, and servings may share a host name. Absent: everybody.",
    )
    grpc: Grpc | None = Field(
        default=None,
        description="gRPC is let in as well, for an engine that answers it, by the same weights and, under auth, keys and tokens. Write {} for the usual. Absent: OpenAI's protocol alone.",
    )
    cache: Cache | None = Field(
        default=None, description="Answers that are given again to who asked for them before; needs auth. Absent: none."
    )
