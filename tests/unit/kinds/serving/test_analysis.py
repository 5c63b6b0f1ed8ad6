"""What an analysis asks of the metrics store for each engine, and what the answers come to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from math import nan
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import Analysis, AnalysisStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Answer, Unavailable
from deepseek_operator.domain.policy.analysis import Outcome, Reading, Tally, Verdict, counted
from deepseek_operator.kinds.serving.analysis import Subject, recorded, tally
from deepseek_operator.kinds.serving.baking import Baking
from deepseek_operator.kinds.serving.measured import Measures
from tests.support.moments import START
from tests.support.servings import a_serving

ERRORS = {"type": "ErrorRate", "max": "0.01"}
LATENCY = {"type": "Latency", "max": "2"}
FIRST = {"type": "TimeToFirstToken", "quantile": "0.95", "maxIncreasePercent": 20}
OWN = {
    "type": "PromQL",
    "name": "Refusals",
    "query": 'sum(rate(refusals{r="$revision",n="$namespace",s="$serving"}[$window]))',
    "max": "0.1",
}
NEW = '{namespace="team",deepseek_serving="chat",deepseek_revision="new"}'
OLD = '{namespace="team",deepseek_serving="chat",deepseek_revision="old"}'


def subject(*metrics: dict[str, Any], engine: str = "builtin", queries_of: str = "team", **analysis: Any) -> Subject:
    said = Analysis.model_validate({"metrics": list(metrics), **analysis})
    owner = DeepSeekServing.model_validate(a_serving())
    new, old = (Measures(owner, name, engine, None, said.window_seconds) for name in ("new", "old"))
    return Subject(Configuration(queries_of=frozenset({queries_of})), new, old, said)


def asked(of: Subject) -> list[str]:
    questions = of.questions(START)
    assert {question.since for question in questions} <= {START}
    return [question.query for question in questions]


def answered(of: Subject, answer: Callable[[str], Answer]) -> Verdict:
    told = of.verdict({query: answer(query) for query in asked(of)}, START)
    assert told is not None
    return told


def read(*values: float) -> Reading:
    return Reading(values, START)


def by_words(**values: Answer) -> Callable[[str], Answer]:
    """Answers by a word in the query, and 200 requests to whatever counts them."""
    return lambda query: next((value for word, value in values.items() if word in query), read(200))


def test_errors_are_a_share_of_the_answers_and_none_where_none_were() -> None:
    answers = 'sum(increase(http_requests_total{method="POST",' + NEW[1:] + "[300s]))"
    errors = 'sum(increase(http_requests_total{method="POST",status="5xx",' + NEW[1:] + "[300s]))"
    assert asked(subject(ERRORS)) == [f"({errors} or 0 * {answers}) / {answers}", answers]


def test_a_quantile_is_of_the_revision_and_of_stable_where_it_is_compared() -> None:
    def quantile(which: str) -> str:
        return f"histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket{which}[60s])))"

    of = subject(FIRST, engine="vllm", windowSeconds=60, minimumSamples=0)
    assert asked(of) == [quantile(NEW), quantile(OLD)]
    with_counts = asked(subject(FIRST, engine="vllm", windowSeconds=60))
    assert len(with_counts) == 4
    assert any(OLD[1:] in query and query.startswith("sum(increase(") for query in with_counts)


@pytest.mark.parametrize(
    ("engine", "answers"),
    [
        ("builtin", "http_requests_total{"),
        ("vllm", "http_requests_total{"),
        ("custom", "http_requests_total{"),
        ("sglang", "sglang:http_responses_total{"),
    ],
)
def test_every_engine_is_asked_by_its_own_names(engine: str, answers: str) -> None:
    queries = asked(subject(ERRORS, LATENCY, FIRST, engine=engine))
    assert any(query.startswith(f"sum(increase({answers}") for query in queries)
    assert len(queries) == len(set(queries)) == 6, "the requests are counted once for all metrics"


def test_an_own_query_gets_the_names() -> None:
    of = subject(OWN, minimumSamples=0)
    assert asked(of) == ['sum(rate(refusals{r="new",n="team",s="chat"}[300s]))']


def test_an_own_query_is_asked_for_those_whom_an_administrator_lets() -> None:
    assert asked(subject(OWN, minimumSamples=0, queries_of="*")) != []
    of = subject(OWN, queries_of="another")
    assert asked(of) == []
    told = answered(of, by_words())
    assert told.outcome is Outcome.INCONCLUSIVE
    assert "prometheus.queriesOf" in told.told


def test_what_an_engine_does_not_tell_is_said_with_who_does() -> None:
    of = subject(ERRORS, LATENCY, engine="tensorrt-llm", minimumSamples=0)
    assert len(asked(of)) == 1, "what it does tell is asked"
    told = answered(of, by_words(e2e=read(1.0)))
    assert [judgement.outcome for judgement in told.judgements] == [Outcome.INCONCLUSIVE, Outcome.PASS]
    assert "engine.type tensorrt-llm tells no ErrorRate: builtin, vllm or sglang does" in told.told


def test_an_engine_that_counts_no_answers_is_told_of() -> None:
    told = answered(subject(LATENCY, engine="tensorrt-llm"), by_words(e2e=read(1.0)))
    assert told.outcome is Outcome.INCONCLUSIVE
    assert "write minimumSamples: 0" in told.told


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (read(0.005), Outcome.PASS, "ErrorRate 0.005, at most 0.01, over 200 requests in 300 s"),
        (read(0.05), Outcome.FAIL, "ErrorRate 0.05, at most 0.01, over 200 requests in 300 s"),
        (read(nan), Outcome.INCONCLUSIVE, "no number that can be"),
        (read(), Outcome.INCONCLUSIVE, "label deepseek_revision"),
        (Unavailable("Prometheus: connection refused"), Outcome.INCONCLUSIVE, "connection refused"),
    ],
)
def test_what_the_store_says_becomes_a_verdict_in_words(answer: Answer, outcome: Outcome, words: str) -> None:
    told = answered(subject(ERRORS), by_words(status=answer))
    assert told.outcome is outcome
    assert words in told.told


def test_of_a_relative_limit_the_revision_without_data_is_named() -> None:
    told = answered(subject(FIRST), lambda query: read() if OLD[1:-1] in query else read(200))
    assert "nothing of revision old" in told.told


def test_nothing_is_concluded_before_every_answer_has_come() -> None:
    of = subject(ERRORS, LATENCY)
    queries = asked(of)
    assert of.verdict({query: read(1) for query in queries[1:]}, START) is None
    assert of.verdict({query: read(1) for query in queries}, START) is not None


def test_the_status_has_the_numbers_and_the_tally_comes_back_from_it() -> None:
    of = subject(ERRORS, FIRST)
    told = answered(of, by_words(status=read(0.05), time_to_first_token=read(0.2)))
    counts = counted(Tally(2, START - timedelta(hours=1)), told, of.terms)
    status = AnalysisStatus.model_validate(recorded(told, counts).to_wire())
    assert (status.verdict, status.failures, tally(status)) == ("Fail", 3, counts)
    first, second = status.metrics
    assert (first.name, first.verdict, first.value, first.threshold) == ("ErrorRate", "Fail", "0.05", "0.01")
    assert (first.samples, first.window_seconds, first.baseline) == (200, 300, None)
    assert (second.name, second.baseline, second.threshold) == ("TimeToFirstTokenP95", "0.2", "0.24")
    assert replace(tally(None)) == Tally()


def test_what_can_not_be_had_at_all_is_judged_no_earlier_than_anything() -> None:
    of = subject(OWN, queries_of="another")
    assert Baking(of, None, START, {}, START).verdict is None
    later = Baking(of, None, START, {}, START + of.terms.interval)
    assert later.verdict is not None
    assert later.verdict.outcome is Outcome.INCONCLUSIVE
    assert (later.analysed.outcome, later.analysed.is_over) == (Outcome.INCONCLUSIVE, False)
    assert "prometheus.queriesOf" in later.analysed.told


@pytest.mark.parametrize("limit", ["1", "5", "1e2"])
def test_a_share_of_more_than_all_answers_is_said_to_be_none(limit: str) -> None:
    of = subject({"type": "ErrorRate", "max": limit})
    assert asked(of) == []
    told = answered(of, by_words())
    assert told.outcome is Outcome.INCONCLUSIVE
    assert 'write "0.05" for 5 %' in told.told
