"""The external authorizer of the gateway: whose API key this is, which serving the request is for, and whether it may.

Envoy asks for each request, with its headers and its body, and does all of the proxying itself. A stranger to the operator
and to what runs in the pods: the three know each other by what is written here alone.

**How it is asked** (HTTP, Envoy's `ext_authz`; SecurityPolicy `extAuth.http` of Envoy Gateway): the original method at
`/authorize/<namespace>/<ways><original path>`. The policy writes the prefix, so that who it is for and what is believed
come from whoever may write policies, never from a client. `<ways>` is `keys`, `jwt` or `any`: what may say who a client is;
a dot and a word may follow, which tell one issuer of tokens from another.
Envoy must hand on `authorization`, `x-api-key`, `content-type`, `content-encoding`, `x-deepseek-jwt-sub` and
`x-deepseek-jwt-scopes` (`headersToExtAuth`), and the whole body (`bodyToExtAuth.maxRequestBytes`).

A call by gRPC is asked about without a body, at `/grpc/<namespace>/<ways>/<serving><original path>`: its route is of one serving,
which the policy names. No stream is held up, and whatever model its messages name, that serving alone can answer.

**How it answers**: 200 with the headers below, which go on to the backend and choose the route (`headersToBackend`,
`recomputeRoute`); anything else goes to the client, as OpenAI's API words errors, or by gRPC as words with a `grpc-status`.
Each of them that an answer lacks is taken from the request by `x-envoy-auth-headers-to-remove`, the claims and, where an engine
is asked, the key as well: whatever a client wrote there reaches nobody, also where no ClientTrafficPolicy strips it before.

    x-deepseek-client     name of the key, or `jwt:` and the subject
    x-deepseek-model      name of the serving; absent where a request is for none (`GET /v1/models`)
    x-deepseek-revision   revision that the key is pinned to; absent without a pin
    x-deepseek-limits     class of limits of the key; absent without one
    x-deepseek-route      `<namespace>/<serving>`, with `/<revision>` where the key is pinned: what routes match

`GET /v1/models` can't be answered by an authorizer, for whom 200 means "let it through": a route leads it to the gate
itself, at `/models/<namespace>/<ways>` in place of `/v1/models`, where it asks for the key once more. What was let
through and then matches no serving's route may be led to `/unrouted`, which answers 404.

**What it knows** lies in ConfigMaps of the namespace, by their label `deepseek-operator.io/gate`:

`keys`: an entry for each key. Its name is the client's, its value JSON, every field but these being refused:

    {"sha256": "<64 hexadecimal digits>",   of the key, all of it
     "servings": ["chat"],                  names of servings, or of models and aliases; "*": all of the namespace
     "expires": "2027-02-24T00:00:00Z",     optional
     "revision": "chat-5d8f6c7b9",          optional; then there is one serving
     "limits": "gold"}                      optional

`models`: one entry `models.json`, written by the operator. A name that two of them have is the older one's.

    {"models": {"<name or alias>": {"serving": "<name>", "revisions": {"<revision>": {}}, "ways": "keys",
                                    "only": "<revision>", "ready": 0, "holdSeconds": 300,
                                    "counted": true}}}

`ways` is optional: the model is known where the gate is asked with the same `<ways>`, and nowhere else. Servings that share
a host name are all asked about with the ways of one of them, which must open no other that believes in something else.

`only` is optional: all requests by this name go to that revision, by the rule of the keys that are pinned to it, since others
that the route's weights lead to do not know the name.

`ready` and `holdSeconds` are optional: while a serving has `ready: 0`, requests for it are held, a thousand at most and each
for so many seconds, and then answered 429 with Retry-After. The policy's `extAuth.timeout` must be longer. Meanwhile the
serving's routes may lead here: what comes with `x-deepseek-route` is answered 503 after a second, for the gateway to try again.

`counted` is optional: tokens of its answers are counted by client, so that streams that would tell none are refused (400).

**What it tells**: while requests for a serving are held, `spec.renewTime` of the Lease `<serving>-serve` in its namespace is
another one every 5 s, from the first request on, with `spec.holderIdentity` and the annotation `deepseek-operator.io/waiting`
(how many) for people. Whoever made the Lease wakes the serving; where there is none, nothing is told. The metric
`deepseek_gate_waiting{namespace, serving}` says the same.
"""
