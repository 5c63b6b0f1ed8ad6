"""Whether a request may go on, and whereto: pure, in the order in which least is told to whom least is known of."""

from collections.abc import Mapping

from deepseek_gate.answers import Allowed, Denied, bad_request
from deepseek_gate.body import Asked
from deepseek_gate.identity import may
from deepseek_gate.keys import Key
from deepseek_gate.knowledge import Knowledge
from deepseek_gate.models import Model

CLIENT, MODEL, REVISION, LIMITS, ROUTE = (
    f"x-deepseek-{what}" for what in ("client", "model", "revision", "limits", "route")
)
INTERNAL = (CLIENT, MODEL, REVISION, LIMITS, ROUTE)
COUNTED = "x-deepseek-counted"
"""Written behind the gate by what reads tokens off answers; from a client it is taken."""
CLAIMS = ("x-deepseek-jwt-sub", "x-deepseek-jwt-scopes")
SHOWN = ("authorization", "x-api-key")

LISTING = "/v1/models"
ASKING = frozenset(
    f"/v1/{path}"
    for path in (
        "chat/completions",
        "completions",
        "embeddings",
        "messages",
        "messages/count_tokens",
        "pooling",
        "classify",
        "rerank",
        "responses",
        "score",
    )
)
"""What a client asks an engine, with the model in the body. An engine's other paths (loading adapters, sleeping, metrics) are
its operator's."""
CALLS = frozenset(
    f"/inference.GRPCInferenceService/{method}"
    for method in (
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelInfer",
        "ModelStreamInfer",
    )
)
"""What a client calls by gRPC (KServe v2, and Triton's stream of it). The others load models, share memory or set what is logged."""
_TOLD_IF_ASKED = frozenset({"/v1/chat/completions", "/v1/completions"})
"""Where engines tell a stream's tokens to who asks for them; the streams of other APIs always do."""
_MOST_NAMES = 50
_TELL = 'Tokens are counted here: send "stream_options": {"include_usage": true} with a stream.'


def is_listing(method: str, path: str) -> bool:
    """A question for names, which no engine answers for all."""
    return method in ("GET", "HEAD") and (path == LISTING or path.startswith(f"{LISTING}/"))


def unknown_path(method: str, path: str) -> Denied | None:
    """None: an engine is asked there."""
    if method == "POST" and path in ASKING:
        return None
    # The path is not repeated: it may hold what a client took for a parameter, a key even.
    return Denied(404, "unknown_path", "Unknown request URL. Models are listed at GET /v1/models.", "unknown_url")


def unknown_call(method: str, path: str) -> Denied | None:
    """None: a client may call it by gRPC."""
    is_known = method == "POST" and path in CALLS
    return None if is_known else Denied(404, "unknown_path", "Unknown method.", "unknown_url")


def headers_of(key: Key) -> Mapping[str, str]:
    """Who the client is, for the backend, the log of the gateway and its limits."""
    return {CLIENT: key.client} | ({LIMITS: key.limits} if key.limits is not None else {})


def removed(answer: Allowed) -> tuple[str, ...]:
    """Headers that the gateway shall take from the request: what only the gate may say and does not, and, where an engine
    is asked, what shows who the client is."""
    unsaid = tuple(name for name in (*INTERNAL, *CLAIMS, COUNTED) if name not in answer.headers)
    return (*unsaid, *SHOWN) if answer.serving is not None else unsaid


def permit(key: Key, asked: Asked, path: str, known: Knowledge, namespace: str, ways: str) -> Allowed | Denied:
    """What becomes of a request at `path`, of which the gate was asked with `ways`."""
    name = asked.model
    model = known.models.get(name)
    if model is None or not _is_known(model, ways):
        names = names_of(key, known, ways)
        told = f"You can use: {', '.join(names[:_MOST_NAMES])}." if names else "Your key can use none."
        return Denied(404, "unknown_model", f"The model does not exist. {told}", "model_not_found", "model")
    if not may(key, name, model.serving):
        words = "Your key has no right to use this model."
        return Denied(403, "out_of_scope", words, "insufficient_permissions", "model")
    if model.is_counted and asked.is_untold and path in _TOLD_IF_ASKED:
        return bad_request(_TELL, "stream_options")
    route, headers = f"{namespace}/{model.serving}", {**headers_of(key), MODEL: model.serving}
    if key.revision is None:
        return Allowed({**headers, ROUTE: route if model.only is None else f"{route}/{model.only}"}, model.serving)
    if key.revision not in model.revisions:
        words = f"Your key is pinned to the revision {key.revision}, which does not run now, or not under this name."
        return bad_request(words, "model")
    return Allowed({**headers, REVISION: key.revision, ROUTE: f"{route}/{key.revision}"}, model.serving)


def permit_call(key: Key, serving: str, known: Knowledge, namespace: str, ways: str) -> Allowed | Denied:
    """What becomes of a call by gRPC, which is for that serving by the route that it came by. Its messages may name any of the
    serving's models, and nobody reads them: the key must open each."""
    models = {name: one for name, one in known.models.items() if one.serving == serving and _is_known(one, ways)}
    if not models:
        return Denied(404, "unknown_model", "The model does not exist.", "model_not_found", "model")
    if not all(may(key, name, serving) for name in models):
        words = "Your key has no right to use this model."
        return Denied(403, "out_of_scope", words, "insufficient_permissions", "model")
    if any(one.is_counted for one in models.values()):
        return Denied(403, "uncounted", "Tokens are counted here, which gRPC does not tell: ask by HTTP.", "uncounted")
    route, headers = f"{namespace}/{serving}", {**headers_of(key), MODEL: serving}
    if key.revision is None:
        return Allowed({**headers, ROUTE: route}, serving)
    if not any(key.revision in one.revisions for one in models.values()):
        return bad_request(f"Your key is pinned to the revision {key.revision}, which does not run now.", "model")
    return Allowed({**headers, REVISION: key.revision, ROUTE: f"{route}/{key.revision}"}, serving)


def names_of(key: Key, known: Knowledge, ways: str) -> list[str]:
    """The names that the key may use where the gate is asked with `ways`, sorted."""
    found = known.models.items()
    return sorted(name for name, model in found if _is_known(model, ways) and may(key, name, model.serving))


def _is_known(model: Model, ways: str) -> bool:
    return model.ways in (None, ways)
