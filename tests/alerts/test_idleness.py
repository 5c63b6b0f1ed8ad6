"""What the metrics store is asked before a serving sleeps, by the real PromQL."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.idleness import ENDED, asked
from tests.support.promtool import promtool
from tests.support.servings import a_serving

OWNER = serving_kind(Configuration()).parse(a_serving(engine={"type": "vllm", "version": "0.20.0"}))
LABELS = 'method="POST",namespace="team",deepseek_serving="chat"'
WINDOW = timedelta(seconds=60)
CASES: dict[str, tuple[list[list[int | str]], int]] = {
    "none": ([], 0),
    "one that never answered": ([[0, 0, 0, 0, 0, 0, 0, 0, 0]], 0),
    "one that answered before": ([[5, 5, 5, 5, 5, 5, 5, 5, 5]], 0),
    "one that answered": ([[5, 5, 5, 5, 5, 5, 6, 6, 6]], 1),
    "its first": ([["_", "_", "_", "_", "_", "_", 1, 1, 1]], 1),
    "the same number after it began anew": ([[3, 3, 3, 3, 3, 0, 2, 3, 3]], 1),
    "one more, and one anew": ([[3, 3, 3, 3, 3, 0, 2, 2, 2]], 2),
    "one that was replaced by another with the same number": (
        [[3, 3, 3, 3, 3, "stale", "_", "_", "_"], ["_", "_", "_", "_", "_", "_", 1, 3, 3]],
        6,
    ),
    "one up and one down": ([[3, 3, 3, 3, 3, 3, 4, 4, 4], [3, 3, 3, 3, 3, 0, 2, 2, 2]], 3),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_was_answered_within_the_window_is_no_zero(tmp_path: Path, case: str) -> None:
    pods, expected = CASES[case]
    series = [
        {"series": f'http_requests_total{{{LABELS},pod="chat-{number}"}}', "values": " ".join(map(str, values))}
        for number, values in enumerate(pods)
    ]
    query = asked(OWNER, WINDOW)[ENDED]
    samples = [{"labels": "{}", "value": expected}]
    told = [{"expr": query, "eval_time": "2m", "exp_samples": samples}]
    tests = [{"interval": "15s", "input_series": series, "promql_expr_test": told}]
    written = tmp_path / "idleness.test.json"
    written.write_text(json.dumps({"evaluation_interval": "15s", "tests": tests}))
    code, said = promtool("test", "rules", str(written))
    assert code == 0, said
