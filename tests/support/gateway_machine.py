"""The lives of a serving behind a gateway whose controller looks when it likes and whose APIs come and go.

On the way, at every pass that sees the present: what the operator writes gives requests to no revision that does not serve
while another does, moves none that gets some to another place, and takes the last replicas of none that the proxies still
send requests to while another serves. By what the gate is told, no request reaches a revision that does not know its name.
"""

import json
from typing import Any

from hypothesis import strategies as st

from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    HTTP_ROUTE,
    OPTIONAL,
    REVISION,
    SECURITY_POLICY,
    is_terminating,
    uid_of,
)
from deepseek_operator.kinds.serving.names import serving_revision, serving_service
from deepseek_operator.kinds.serving.routes import matched_of, places_of
from tests.support.gateways import PUBLIC, answer
from tests.support.serving_machine import NAME, ServingMachine, Stored, step
from tests.support.servings import NAMESPACE

ROUTE = serving_service(NAME)
JWT = {"issuer": "https://login.example.com", "audiences": ["deepseek"], "jwks": {"configMapName": "token-keys"}}


class GatewayMachine(ServingMachine):
    """`sent`: what the proxies do by the route of that uid, as their controller has last seen it; `sent_by_header`: to whom
    they send what carries a header."""

    sent: tuple[str, dict[str, int]] = ("", {})
    sent_by_header: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    # --- what users and the gateway do --------------------------------------------------------------------------

    @step(hangs=st.booleans(), name=st.sampled_from(["public", "other"]))
    def hang_on_a_gateway_or_leave_it(self, hangs: bool, name: str) -> None:
        self._spec(gateway={**PUBLIC, "parentRef": {"name": name}} if hangs else None)

    @step(auth=st.sampled_from([None, {"apiKeys": True}, {"jwt": JWT}]))
    def judge_requests_or_not(self, auth: Any) -> None:
        gateway = self._owner()["spec"].get("gateway")
        if gateway is not None:
            self._spec(gateway={**gateway, "auth": auth} if auth else {k: gateway[k] for k in gateway if k != "auth"})

    @step(models=st.sampled_from([None, ["a"], ["chat", "b"], ["b", "a"]]))
    def name_the_model(self, models: Any) -> None:
        gateway = self._owner()["spec"].get("gateway")
        if gateway is not None:
            others = {key: value for key, value in gateway.items() if key != "models"}
            self._spec(gateway={**others, "models": models} if models else others)

    @step(refuses=st.booleans(), refuses_policies=st.booleans())
    def the_gateway_looks(self, refuses: bool, refuses_policies: bool) -> None:
        self._look(refuses, refuses_policies)

    @step()
    def somebody_deletes_the_policy(self) -> None:
        if self.cluster.read(SECURITY_POLICY, NAMESPACE, ROUTE) is not None:
            self.cluster.remove(SECURITY_POLICY, NAMESPACE, ROUTE)

    @step(weight=st.integers(0, 9))
    def the_route_drifts(self, weight: int) -> None:
        def change(live: Stored) -> None:
            live["spec"]["rules"][0]["backendRefs"][0]["weight"] = weight

        if self._route() is not None:
            self.cluster.edit(HTTP_ROUTE, NAMESPACE, ROUTE, change)

    @step(which=st.sampled_from(OPTIONAL), is_served=st.booleans())
    def an_api_comes_or_goes(self, which: Any, is_served: bool) -> None:
        self.missing = self.missing - {which.kind} if is_served else self.missing | {which.kind}
        self._tell_what_is_missing()

    def _look(self, refuses: bool = False, refuses_policies: bool = False) -> None:
        """The controller sees the route as it is, and so do its proxies, unless it refuses it."""
        why = {"Accepted": ("NotAllowedByListeners", "no")}
        refused, refused_policies = (why if one else {} for one in (refuses, refuses_policies))
        answer(self.cluster, NAMESPACE, ROUTE, refused, refused_policy=refused_policies)
        route = self._route()
        if route is None or refuses:
            self.sent, self.sent_by_header = ("", {}), frozenset()
        else:
            self.sent_by_header = frozenset(matched_of(route))
            self.sent = uid_of(route), {name: part for name, part in places_of(route) if part > 0}

    def _tell_what_is_missing(self) -> None:
        for resource in OPTIONAL:
            why = f"no {resource.kind}. Install it." if resource.kind in self.missing else None
            self.operator.mirror.missing(resource, None, why)
        if not self.missing:
            self.operator.audit()

    # --- what must hold -----------------------------------------------------------------------------------------

    def _pass(self) -> object:
        before, fresh, was = self._picture(), self._is_fresh() and not self.missing, self._route()
        outcome = super()._pass()
        after, is_now = self._picture(), self._route()
        if fresh and before["uid"] == after["uid"] and "gateway" in before["spec"]:
            self._check_ends(before, after)
            self._check_names(after)
            if is_now is not None and (was is None or was["spec"] != is_now["spec"]):
                self._check_guard(is_now)
                self._check_parts(before, is_now)
                self._check_places(was, is_now)
        return outcome

    def _check_ends(self, before: Stored, after: Stored) -> None:
        route = self._route()
        if route is None or self.sent[0] != uid_of(route):
            return
        others = {name for name, ready in before["ready"].items() if ready and before["specified"][name]}
        for name, count in before["specified"].items():
            if count and after["specified"].get(name) == 0 and before["ready"][name]:
                stay = {other for other in others - {name} if after["specified"].get(other)}
                sent = {*self.sent[1], *self.sent_by_header}
                assert _revision(name) not in sent or not stay, (before, after, self.sent, self.sent_by_header)

    def _check_guard(self, route: Stored) -> None:
        """No rule leads to a replica that lets in whom nobody judges, and none before somebody does."""
        auth = (self._owner()["spec"].get("gateway") or {}).get("auth")
        open_rules = [rule for rule in route["spec"]["rules"] if not rule["backendRefs"][0].get("namespace")]
        if auth is None:
            assert len(open_rules) == len(route["spec"]["rules"])
            return
        policy = self.cluster.read(SECURITY_POLICY, NAMESPACE, ROUTE)
        assert not open_rules or (policy is not None and policy["spec"]["extAuth"]["failOpen"] is False)
        assert all(rule["matches"][0]["headers"][0]["name"] == "x-deepseek-route" for rule in open_rules)
        ancestors = (policy or {}).get("status", {}).get("ancestors", ())
        accepted = [one["status"] for told in ancestors for one in told["conditions"] if one["type"] == "Accepted"]
        assert not open_rules or accepted == ["True"]

    def _check_names(self, after: Stored) -> None:
        """Of revisions that serve: those that the route gives requests to, and those that the proxies still do."""
        told, route = self.cluster.read(CONFIG_MAP, NAMESPACE, ROUTE), self._route()
        if told is None or route is None:
            return
        sent = self.sent[1] if self.sent[0] == uid_of(route) else {}
        weighted = {name for name, part in places_of(route) if part > 0} | sent.keys()
        serving = {_revision(name) for name, ready in after["ready"].items() if ready}
        for name, entry in json.loads(told["data"]["models.json"])["models"].items():
            reached = set() if entry.get("ready") == 0 else {entry["only"]} if "only" in entry else weighted
            for revision in (reached | entry["revisions"].keys()) & serving:
                known = self._names(revision)
                assert known is None or name in known, (name, entry, revision, known)

    def _names(self, revision: str) -> set[str] | None:
        """By its record; None where that does not say."""
        record = self.cluster.read(REVISION, NAMESPACE, serving_revision(NAME, revision))
        made_from = (record or {}).get("data", {}).get("input")
        if made_from is None:
            return None
        return set(made_from.get("models") or [made_from.get("model", {}).get("name", NAME)])

    def _check_parts(self, before: Stored, route: Stored) -> None:
        if not places_of(route):
            return  # Closed: nobody is let in.
        serving = {_revision(name) for name, n in before["ready"].items() if n and before["specified"][name]}
        given = {name for name, part in places_of(route) if part > 0}
        assert given
        assert given <= serving or not serving, (given, serving)

    def _check_places(self, was: Stored | None, is_now: Stored) -> None:
        if was is None or uid_of(was) != uid_of(is_now):
            return
        old, new = places_of(was), places_of(is_now)
        for number, (name, part) in enumerate(old):
            once = [other for other, some in old if some > 0].count(name) == 1
            if part > 0 and once and (name, True) in {(other, some > 0) for other, some in new}:
                assert new[number][0] == name, (old, new)

    def _also_told(self) -> list[tuple[str, str, str]]:
        if "gateway" not in self._owner()["spec"]:
            return []
        is_judged = self._owner()["spec"]["gateway"].get("auth") is not None
        named = [("ModelsReady", "True", "ModelsKnown")] if is_judged else []
        return [("RouteReady", "True", "RouteAccepted"), ("PolicyReady", "True", "PolicyAccepted"), *named]

    def _check_children(self) -> None:
        super()._check_children()
        hangs = "gateway" in self._owner()["spec"]
        is_judged = hangs and self._owner()["spec"]["gateway"].get("auth") is not None
        wanted = {HTTP_ROUTE: hangs, BACKEND_TRAFFIC_POLICY: hangs, SECURITY_POLICY: is_judged, CONFIG_MAP: is_judged}
        assert {resource: len(self.cluster.all(resource)) for resource in wanted} == wanted
        if (route := self._route()) is not None:
            current = self._parsed().status.current
            assert current is not None
            assert [name for name, part in places_of(route) if part > 0] == [current.name]

    # --- the pieces ---------------------------------------------------------------------------------------------

    def _undo_outages(self) -> None:
        super()._undo_outages()
        self.missing = frozenset()
        self._tell_what_is_missing()

    def _quiet_round(self) -> None:
        super()._quiet_round()
        self._look()

    def _create(self, **spec: Any) -> None:
        super()._create(**{"gateway": PUBLIC, **spec})

    def _restart(self) -> None:
        super()._restart()
        self._tell_what_is_missing()

    def _children(self) -> list[Stored]:
        resources = (HTTP_ROUTE, BACKEND_TRAFFIC_POLICY, SECURITY_POLICY, CONFIG_MAP)
        return [*super()._children(), *(child for resource in resources for child in self.cluster.all(resource))]

    def _route(self) -> Stored | None:
        live = self.cluster.read(HTTP_ROUTE, NAMESPACE, ROUTE)
        return live if live is not None and not is_terminating(live) else None


def _revision(deployment: str) -> str:
    return deployment.rpartition("-")[2]
