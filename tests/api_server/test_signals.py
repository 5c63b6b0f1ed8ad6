"""Every signal by a real Prometheus over ten minutes of recorded series, by the names of each engine's releases and of each
vendor's exporter: the right wish, and the right hold."""

import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.adapters.prometheus import Prometheus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Wanted
from deepseek_operator.domain.devices.profiles import BUILT_IN
from deepseek_operator.domain.programs.engines.loads import QUANTILES
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.serving.signals import queries, wanted
from examples.local_cluster import debian
from tests.support.ports import free_port
from tests.support.prometheus import eventually, is_ready
from tests.support.servings import a_serving

BEGAN = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW = BEGAN + timedelta(seconds=600)
STEP_S = 15
ENGINE_RELEASES = (("builtin", None), ("vllm", "0.18"), ("vllm", "0.20"), ("vllm", "0.25"), ("vllm", "0.33"),
                   ("sglang", "0.5.13"), ("sglang", "0.5.23"), ("custom", None))  # fmt: skip
PROFILES = ("nvidia-h200-141", "nvidia-h100-mig-1g.10gb", "amd-mi300x-192", "intel-gaudi3-128", "huawei-ascend910b-64")
MAY = Configuration(queries_of=frozenset({"team"}))
PODS = ("a", "b", "c")


@dataclass(frozen=True)
class Series:
    """A recorded series: from `begins` to `ends` seconds, a value that rises by `rise` a second."""

    name: str
    labels: Mapping[str, str]
    value: float
    rise: float = 0.0
    begins: int = 0
    ends: int = 600

    def lines(self) -> Iterator[str]:
        named = ",".join(f'{label}="{value}"' for label, value in self.labels.items())
        for second in range(self.begins, self.ends + 1, STEP_S):
            at = (BEGAN + timedelta(seconds=second)).timestamp()
            yield f"{self.name}{{{named}}} {self.value + self.rise * (second - self.begins):.17g} {at:.0f}"


def told_by(
    names: Mapping[Signal, str], serving: str, pod: str, *, first_token_s: float = 0.2, begins: int = 0, ends: int = 600
) -> Iterator[Series]:
    """What a replica tells that has four in flight, answers two requests a second and generates 50 tokens a second."""
    which = {"namespace": "team", "deepseek_serving": serving, "pod": pod}
    gauges = {Signal.RUNNING: 3.0, Signal.WAITING: 1.0, Signal.KV_USAGE: 0.9}
    rates = {Signal.ANSWERS: 2.0, Signal.GENERATION_TOKENS: 50.0}
    for signal, value in gauges.items():
        yield Series(*_named(names[signal], which), value, 0.0, begins, ends)
    for signal, rise in rates.items():
        yield Series(*_named(names[signal], which), 0.0, rise, begins, ends)
    for signal, seconds in zip(QUANTILES.values(), (first_token_s, 0.03, 4.0), strict=True):
        name = names[signal]
        for bound in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0):
            count = 2.0 if seconds <= bound else 0.0
            yield Series(f"{name}_bucket", {**which, "le": f"{bound}"}, 0.0, count, begins, ends)
        yield Series(f"{name}_bucket", {**which, "le": "+Inf"}, 0.0, 2.0, begins, ends)
        yield Series(f"{name}_count", which, 0.0, 2.0, begins, ends)


def _named(name: str, which: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A name that brings labels of its own."""
    metric, _, own = name.removesuffix("}").partition("{")
    pairs = (pair.split("=", 1) for pair in own.split(",") if "=~" not in pair and pair)
    return metric, {**{label: value.strip('"') for label, value in pairs}, **which}


def busy(profile: str, serving: str, pod: str, percent: float, *, exported: bool) -> Series:
    """`exported`: as a scrape without honorLabels stores it."""
    metrics = BUILT_IN.resolve(profile).metrics
    assert metrics is not None
    assert metrics.utilization is not None
    own = {metrics.namespace_label: "team", metrics.pod_label: pod}
    if exported:
        own = {f"exported_{label}" if label in ("namespace", "pod") else label: value for label, value in own.items()}
        own = {"namespace": "monitoring", "pod": f"exporter-{serving}", **own}
    return Series(metrics.utilization, {**own, "gpu": "0"}, percent / 100 if metrics.is_share else percent)


def name_of(*parts: object) -> str:
    return "-".join(str(part) for part in parts).replace(".", "-")


def recorded() -> Iterator[Series]:
    """A serving for each story."""
    vllm = ENGINES["vllm"].metric_names("0.33")
    for engine, version in ENGINE_RELEASES:
        for pod in PODS:
            serving = name_of(engine, version)
            yield from told_by(ENGINES[engine].metric_names(version), serving, f"{serving}-{pod}")
    for profile in PROFILES:
        for exported in (False, True):
            serving = name_of(profile, exported)
            for pod in PODS:
                yield from told_by(vllm, serving, f"{serving}-{pod}")
                yield busy(profile, serving, f"{serving}-{pod}", 90.0, exported=exported)
    for pod in PODS:
        yield from told_by(vllm, "slow", f"slow-{pod}", first_token_s=0.9)
        yield from told_by(vllm, "gone", f"gone-{pod}", ends=420)
        yield from told_by(vllm, "grown", f"grown-{pod}", first_token_s=0.9, begins=540 if pod == "c" else 0)
        yield from told_by(vllm, "shrunk", f"shrunk-{pod}", ends=540 if pod == "c" else 600)
        yield from told_by(vllm, "half-told", f"half-told-{pod}")
        for name in (Signal.RUNNING, Signal.WAITING, Signal.KV_USAGE):
            yield Series(
                *_named(vllm[name], {"namespace": "team", "deepseek_serving": "idle", "pod": f"idle-{pod}"}), 0.0
            )
            mad = {"namespace": "team", "deepseek_serving": "mad", "pod": f"mad-{pod}"}
            yield Series(*_named(vllm[name], mad), float("nan") if name is Signal.WAITING else 4.0)
            hushed = {"namespace": "team", "deepseek_serving": "hushed", "pod": f"hushed-{pod}"}
            yield Series(*_named(vllm[name], hushed), 1.0)
        which = {"namespace": "team", "deepseek_serving": "filling", "pod": f"filling-{pod}"}
        yield Series(*_named(vllm[Signal.RUNNING], which), 8.0)
        yield Series(*_named(vllm[Signal.WAITING], which), 0.0, 3.0)
        yield Series(*_named(vllm[Signal.ANSWERS], which), 0.0, 2.0)
    yield busy("nvidia-h200-141", "half-told", "half-told-a", 90.0, exported=False)
    yield Series("depth", {"queue": "slow"}, 41.0)
    yield Series("depth", {"queue": "twice", "side": "a"}, 41.0)
    yield Series("depth", {"queue": "twice", "side": "b"}, 41.0)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    debian.ensure({"prometheus": debian.NODE["prometheus"]})
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    _backfill(home, recorded())
    (home / "prometheus.yml").write_text("{}")
    found = f"http://127.0.0.1:{port}"
    argv = ["/usr/bin/prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
            "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    with (home / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: is_ready(found))
            yield found
        finally:
            process.kill()


def _backfill(home: Path, series: Iterator[Series]) -> None:
    """Series of one name stand together, as OpenMetrics wants them; whatever they are, they are stored as written."""
    families: dict[str, list[str]] = {}
    for one in series:
        families.setdefault(one.name, []).extend(one.lines())
    text = "".join(f"# TYPE {name} unknown\n" + "\n".join(lines) + "\n" for name, lines in sorted(families.items()))
    (home / "recorded").write_text(f"{text}# EOF\n")
    argv = [
        "/usr/bin/promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(home / "recorded"),
        str(home / "data"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.fixture
async def client(url: str) -> AsyncIterator[Prometheus]:
    found = Prometheus(url)
    yield found
    found.close()


async def ask(
    client: Prometheus, serving: str, signal: dict[str, Any], *, runs: int = 3, at: datetime = NOW, **spec: Any
) -> Wanted:
    """What the serving wants by one signal, of which `runs` replicas run and are ready."""
    status = {"readyReplicas": runs, "runningReplicas": runs}
    manifest = a_serving(status=status, autoscaling={"maxReplicas": 40, "signals": [signal]}, **spec)
    manifest["metadata"]["name"] = serving
    owner = DeepSeekServing.model_validate(manifest)
    return wanted(owner, MAY, {name: await client.read(query, at) for name, query in queries(owner, MAY)})


def of(engine: str, version: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"engine": {"type": engine, **({"version": version} if version else {})}}
    return found


EACH: tuple[tuple[dict[str, Any], int, float], ...] = (
    ({"type": "InFlight", "target": 3}, 4, 12.0),
    ({"type": "RequestRate", "target": 1}, 6, 6.0),
    ({"type": "TokensPerSecond", "target": 20}, 8, 150.0),
    ({"type": "TimeToFirstToken", "target": 500}, 2, 248.5),
    ({"type": "TimeToFirstToken", "target": 200}, 4, 248.5),
    ({"type": "InterToken", "target": 10}, 4, 49.6),
    ({"type": "EndToEnd", "target": 6000}, 3, 4960.0),
    ({"type": "EndToEnd", "target": 2000, "quantile": "0.5"}, 4, 3000.0),
    ({"type": "KVCache"}, 4, 90.0),
    ({"type": "KVCache", "target": 95}, 3, 90.0),
)


@pytest.mark.parametrize("release", ENGINE_RELEASES, ids=lambda release: name_of(*release))
async def test_every_signal_of_every_release_wants_what_its_numbers_say(
    client: Prometheus, release: tuple[str, str | None]
) -> None:
    for signal, replicas, value in EACH:
        found = await ask(client, name_of(*release), signal, **of(*release))
        assert found.replicas == replicas, (signal, found)
        assert found.wishes[0].value == pytest.approx(value, rel=0.01), signal


@pytest.mark.parametrize("exported", [False, True], ids=["honorLabels", "exported"])
@pytest.mark.parametrize("profile", PROFILES)
async def test_devices_of_every_vendor_are_those_of_the_servings_pods(
    client: Prometheus, profile: str, exported: bool
) -> None:
    signal = {"type": "DeviceUtilization"}
    found = await ask(client, name_of(profile, exported), signal, accelerator={"profile": profile})
    assert found.replicas == 4, found
    assert found.wishes[0].value == pytest.approx(90.0)


async def test_devices_of_one_replica_of_three_hold(client: Prometheus) -> None:
    accelerator = {"profile": "nvidia-h200-141"}
    found = await ask(client, "half-told", {"type": "DeviceUtilization"}, accelerator=accelerator)
    assert found.replicas is None
    assert "not of every replica" in found.wishes[0].why


VLLM = of("vllm", "0.33")
SLOW = {"type": "TimeToFirstToken"}


async def test_first_tokens_beyond_the_usual_half_second_want_another_replica(client: Prometheus) -> None:
    assert (await ask(client, "slow", SLOW, **VLLM)).replicas == 4


async def test_a_replica_that_is_new_in_the_window_is_waited_for(client: Prometheus) -> None:
    found = await ask(client, "grown", SLOW, **VLLM)
    assert found.replicas == 3
    assert "settled" in found.wishes[0].why
    assert (await ask(client, "grown", SLOW, runs=4, **VLLM)).replicas == 4, "one that loads and reports nothing"


async def test_one_that_went_in_the_window_lets_no_other_go(client: Prometheus) -> None:
    assert (await ask(client, "shrunk", SLOW, runs=2, at=NOW, **VLLM)).replicas == 2


@pytest.mark.parametrize("signal", [one for one, _, _ in EACH], ids=lambda signal: f"{signal['type']}")
async def test_what_has_stopped_to_be_scraped_holds(client: Prometheus, signal: dict[str, Any]) -> None:
    """Prometheus repeats the last number for five minutes."""
    found = await ask(client, "gone", signal, **VLLM)
    assert found.replicas is None, found
    assert "older than 120 s" in found.wishes[0].why
    found = await ask(client, "nobody", signal, **VLLM)
    assert found.replicas is None
    assert found.wishes[0].why == "no replica reports"


async def test_without_a_request_ever_nothing_is_wanted_and_nothing_is_missing(client: Prometheus) -> None:
    for load in ("InFlight", "RequestRate", "TokensPerSecond", "TimeToFirstToken", "EndToEnd"):
        found = await ask(client, "idle", {"type": load, "target": 10}, **VLLM)
        assert found.replicas == 1, found


async def test_a_counter_that_is_missing_while_requests_run_is_no_zero(client: Prometheus) -> None:
    for load in ("RequestRate", "TokensPerSecond", "TimeToFirstToken"):
        found = await ask(client, "hushed", {"type": load, "target": 10}, **VLLM)
        assert found.replicas is None, found


async def test_a_number_that_is_none_holds(client: Prometheus) -> None:
    assert (await ask(client, "mad", {"type": "InFlight", "target": 1}, **VLLM)).replicas is None
    assert (await ask(client, "mad", {"type": "KVCache"}, **VLLM)).replicas is None, "400 % of a cache"


async def test_requests_that_wait_count_among_those_that_came(client: Prometheus) -> None:
    """Two a second are answered by each of three, and three a second more wait at each."""
    found = await ask(client, "filling", {"type": "RequestRate", "target": 1}, **VLLM)
    assert found.wishes[0].value == pytest.approx(15.0, rel=0.01)
    assert found.replicas == 15


async def test_a_query_of_the_users_is_followed_and_one_of_several_series_holds(client: Prometheus) -> None:
    own = {"type": "PromQL", "target": 10, "query": 'depth{queue="$serving"}'}
    assert (await ask(client, "slow", own, **VLLM)).replicas == 5
    two = {**own, "query": 'depth{queue="twice"}'}
    found = await ask(client, "slow", two, **VLLM)
    assert found.replicas is None
    assert "2 series" in found.wishes[0].why
    found = await ask(client, "slow", {**own, "query": "sum((("}, **VLLM)
    assert found.replicas is None
    assert "parse error" in found.wishes[0].why
