"""Answers that are given again, by a real nginx before each revision, behind a real Envoy and a real gate.

Who answered is said by the engine's own count and its fingerprint, and by the header that nginx adds.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.gateway.fleet import LOOK_S, Fleet
from tests.gateway.keyring import bearer, gate, new_key
from tests.gateway.load import Answer, Load, ask, completion, version_of
from tests.gateway.logs import everything, who_wrote
from tests.gateway.servings import LIMIT_S, PARENT, condition
from tests.gateway.streams import Streams
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until
from tests.support.nginx_image import NGINX_IMAGE, load_nginx

pytestmark = pytest.mark.timeout(600)

NAME = "kept"
KEYS = {"alice": new_key(), "bob": new_key()}
PODS = 2
"""Before each revision; each has answers of its own, and keeps what it is asked for the second time."""
MET = "x-deepseek-cache"
PROMPT = f"the secret of the company is {secrets.token_hex(8)}"


def spec(**cache: Any) -> dict[str, Any]:
    """Behind the gateway, with a cache of these fields; None of them: without one."""
    kept = {"cache": {"image": NGINX_IMAGE, "ttlSeconds": 3600, "maxSize": "16Mi", **cache}} if cache else {}
    limits = {"maxBodySize": "1Mi"}
    timeouts = {"requestSeconds": 60}
    return {
        "parentRef": PARENT, "hostnames": [f"{NAME}.example.com"], "auth": {"apiKeys": True}, "limits": limits,
        "timeouts": timeouts, **kept,
    }  # fmt: skip


CACHED = spec(ttlSeconds=3600)


class Kept(Fleet):
    """A serving with a cache, asked with a key."""

    address = ""

    def ask(self, prompt: str, client: str = "alice", path: str = "/v1/completions", **more: Any) -> Answer:
        return ask(self.address, self.host, path, question(prompt, **more), bearer(KEYS[client]))

    def met(self, prompt: str, client: str = "alice", **more: Any) -> str:
        """What the request met at the cache; empty: it went by none."""
        answer = self.ask(prompt, client, **more)
        assert answer.status == 200, answer
        return {name.lower(): value for name, value in answer.headers.items()}.get(MET, "")

    def engine_has_answered(self) -> int:
        """Requests, by the engines' own count."""
        lines = [line for pod in self._pods("serving") for line in self._metrics(pod, 8000)]
        return sum(int(line.split()[-1]) for line in lines if line.startswith("http_requests_total"))

    def counted(self) -> Counter[str]:
        """What requests met, by the caches' own count."""
        lines = [line for pod in self.caches() for line in self._metrics(pod, 8081)]
        found: Counter[str] = Counter()
        for line in lines:
            if line.startswith("deepseek_cache_requests_total{"):
                found[line.partition('result="')[2].partition('"')[0]] += int(line.split()[-1])
        return found

    def caches(self) -> list[str]:
        return self._pods("cache")

    def _pods(self, label: str) -> list[str]:
        found = self.kubectl.list("pods", f"deepseek-operator.io/{label}={self.name}")
        return sorted(one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"])

    def _metrics(self, pod: str, port: int) -> list[str]:
        where = f"/api/v1/namespaces/{self.kubectl.namespace}/pods/{pod}:{port}/proxy/metrics"
        return self.kubectl.run("get", "--raw", where).splitlines()

    def is_cached(self) -> None:
        self.tells("True", "CacheUsed")

    def tells(self, status: str, reason: str) -> None:
        what = f"CacheReady is {status}, {reason}"
        until(what, lambda: condition(self.kubectl, self.name, "CacheReady") == (status, reason), timeout_s=LIMIT_S)


def question(prompt: str, **more: Any) -> bytes:
    return completion(model=NAME, prompt=prompt, **more)


@pytest.fixture(scope="module")
def kept(engines: Kubectl, gateways: Kubectl, say: Callable[[str], None]) -> Iterator[Kept]:
    """Two replicas of version 1, as they answer before there is a cache."""
    load_nginx()
    one = Kept(engines, NAME, fixed={"replicas": 2})
    one.address = gateway_bed.address(engines)
    with gate(gateways, engines, **KEYS):
        one.apply(1, gateway=spec())
        one.is_("Available")
        until("it answers", lambda: one.ask("warm").status == 200, timeout_s=LIMIT_S)
        say("it answers without a cache")
        yield one
        engines.run("delete", "deepseekserving", NAME)


def load(one: Kept, **more: Any) -> Load:
    return Load(one.address, one.host, 2, 0.05, bearer(KEYS["bob"]), question("load", **more))


def test_a_cache_comes_and_requests_go_by_it_once_it_is_ready(kept: Kept, say: Callable[[str], None]) -> None:
    with load(kept, temperature=1) as asked:
        kept.apply(1, gateway=spec(image="example.com/of-nobody:0"))
        kept.tells("Unknown", "CacheNotReady")
        assert kept.met("early") == "", "requests go past a cache that is not there"
        kept.apply(1, gateway=CACHED)
        kept.is_cached()
        until("requests go by it", lambda: kept.met("early") != "", timeout_s=60)
    say(f"it came, {sum(asked.statuses.values())} requests, {len(asked.failures)} failed; {len(kept.caches())} pods")
    assert asked.failures == []
    assert kept.status()["phase"] == "Available"


def test_what_was_asked_before_is_answered_without_the_engine(kept: Kept, say: Callable[[str], None]) -> None:
    until("both pods are ready", lambda: len(kept.caches()) == PODS, timeout_s=60)
    before, counted = kept.engine_has_answered(), kept.counted()
    met = Counter(kept.met("the same") for _ in range(20))
    answered = kept.engine_has_answered() - before
    told = kept.counted() - counted
    say(f"twenty times the same: {dict(met)}, of which the engine answered {answered}; counted: {dict(told)}")
    assert met.keys() == {"MISS", "HIT"}
    assert 2 <= met["MISS"] <= 2 * PODS
    assert answered == met["MISS"]
    assert told == {"hit": met["HIT"], "miss": met["MISS"]}


def test_another_s_answer_is_none_of_ours(kept: Kept) -> None:
    while kept.met("of alice") != "HIT":
        pass
    assert [kept.met("of alice", "bob") for _ in range(2)] == ["MISS", "MISS"]


def test_what_is_not_asked_for_at_temperature_0_is_asked_of_the_engine(kept: Kept) -> None:
    before = kept.engine_has_answered()
    assert {kept.met("warmer", temperature=0.5) for _ in range(6)} == {"BYPASS"}
    assert kept.engine_has_answered() - before == 6


def test_the_log_says_what_a_request_met_and_of_whom(kept: Kept) -> None:
    asked = question("for the log, of its own length")

    def lines() -> list[dict[str, Any]]:
        proxies = kept.kubectl.within(gateway_bed.SYSTEM)
        selector = "--selector=gateway.envoyproxy.io/owning-gateway-name=public"
        text = proxies.run("logs", selector, "--container=envoy", "--tail=200")
        found = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
        return [line for line in found if line.get("host") == kept.host and line["received"] == len(asked)]

    while kept.met("for the log, of its own length") != "HIT":
        pass
    until("it is logged", lambda: any(line["cache"] == "HIT" for line in lines()), timeout_s=30)
    assert {line["client"] for line in lines()} == {"alice"}
    assert {line["revision"] for line in lines()} == {f"{NAME}-serve-cache-{kept.status()['stable']}"}


def test_no_answer_outlives_its_revision_and_no_request_fails_as_it_goes(
    kept: Kept, say: Callable[[str], None]
) -> None:
    while kept.met("which version") != "HIT":
        pass
    first = str(kept.status()["stable"])
    assert version_of(kept.ask("which version")) == "v1"
    with load(kept) as asked:
        kept.rolls_out(2, first, gateway=CACHED)
        kept.is_cached()
        until("version 2 answers", lambda: version_of(kept.ask("another")) == "v2", timeout_s=60)
        answers = [kept.ask("which version") for _ in range(10)]
    say(f"rolled out, {sum(asked.statuses.values())} requests, {len(asked.failures)} failed, {dict(asked.versions)}")
    assert {version_of(answer) for answer in answers} == {"v2"}
    assert asked.failures == []
    until("the old cache is gone", lambda: len(kept.caches()) == PODS, timeout_s=LIMIT_S, every_s=LOOK_S)


def test_no_request_and_no_stream_breaks_off_as_its_pods_are_replaced_and_taken_away(
    kept: Kept, say: Callable[[str], None]
) -> None:
    """A change that nginx must know, a drain that takes one of its pods, and the end of the cache."""
    before = kept.caches()
    headers = bearer(KEYS["alice"])
    with load(kept, temperature=1) as asked, Streams(kept.address, kept.host, 20, headers, model=NAME) as streams:
        until("streams are open", lambda: streams.open >= 15, timeout_s=60)
        kept.apply(2, gateway=spec(ttlSeconds=60))
        until("its pods are others", partial(_are_others, kept, before), timeout_s=LIMIT_S, every_s=LOOK_S)
        say(f"replaced: {_told(asked, streams)}")
        drained = kept.caches()[0]
        kept.kubectl.run("delete", "pod", drained, "--wait=false")
        until("it is replaced", lambda: drained not in kept.caches() and len(kept.caches()) == PODS, timeout_s=LIMIT_S)
        time.sleep(5)
        kept.is_cached()
        say(f"drained: {_told(asked, streams)}")
        kept.apply(2, gateway=spec())
        until("no cache is left", lambda: kept.caches() == [], timeout_s=LIMIT_S, every_s=LOOK_S)
        assert kept.met("late") == ""
        time.sleep(13)  # As long as a stream lasts.
        say(f"taken away: {_told(asked, streams)}")
    assert asked.failures == []
    assert dict(streams.failures) == {}
    assert streams.whole > 20


def _are_others(kept: Kept, before: list[str]) -> bool:
    now = kept.caches()
    return len(now) == PODS and not set(now) & set(before)


def _told(asked: Load, streams: Streams) -> str:
    return f"{sum(asked.statuses.values())} requests, {len(asked.failures)} failed; {streams.whole} streams, {dict(streams.failures)}"


def test_no_log_has_a_key_or_a_prompt(kept: Kept, gateways: Kubectl) -> None:
    """After all that was asked; of a cache that runs, too."""
    kept.apply(2, gateway=CACHED)
    kept.is_cached()
    until("requests go by it", lambda: kept.met(PROMPT) != "", timeout_s=60)
    assert kept.ask(PROMPT, path="/v1/completions?key=" + KEYS["bob"]).status == 200
    time.sleep(2)  # Envoy writes its log in blocks.
    logs = everything(gateways)
    assert {name.rpartition("/")[2] for name in logs} >= set(kept.caches())
    assert who_wrote((PROMPT, *KEYS.values()), logs) == []
