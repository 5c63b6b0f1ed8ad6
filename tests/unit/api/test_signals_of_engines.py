"""Which signals a serving may be scaled by follows from what the engines of the table tell."""

from dataclasses import replace

import pytest

from deepseek_operator.api.v1alpha1.serving import scaling
from deepseek_operator.domain.programs.engines import sglang, tensorrt_llm, vllm
from deepseek_operator.domain.programs.engines.loads import LOADS, NEEDS, USUAL_TARGETS, tells
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.domain.values.command import Signal


def test_every_offered_engine_tells_every_signal_or_none() -> None:
    told = {entry.type: {load for load in LOADS if tells(entry, None, load)} for entry in offered()}
    assert {engine: loads for engine, loads in told.items() if loads != LOADS.keys()} == {
        "tensorrt-llm": set(),
        "triton": set(),
    }
    (rule,) = scaling.unobtainable()
    assert rule["rule"] == "!has(self.autoscaling) || !(self.engine.type in ['tensorrt-llm', 'triton'])"
    assert "leave autoscaling out, or engine.type builtin, vllm, sglang or custom" in rule["message"]


def test_what_an_engine_does_not_tell_is_refused_with_who_does(monkeypatch: pytest.MonkeyPatch) -> None:
    few = dict.fromkeys((Signal.RUNNING, Signal.WAITING, Signal.KV_USAGE), "few:x")
    engines = (
        vllm.ENTRY,
        sglang.ENTRY,
        tensorrt_llm.ENTRY,
        replace(vllm.ENTRY, type="few", metrics=lambda version: few),
    )
    monkeypatch.setattr(scaling, "offered", lambda: engines)
    told = {rule["message"] for rule in scaling.unobtainable()}
    assert "engine.type few can't tell RequestRate: vllm or sglang can" in told
    assert "engine.type few can't tell TimeToFirstToken: vllm or sglang can" in told
    assert any(message.startswith("engine.type tensorrt-llm can't tell what runs and waits") for message in told)
    assert not any("InFlight" in message or "KVCache" in message for message in told)
    (rate,) = (rule["rule"] for rule in scaling.unobtainable() if "RequestRate" in rule["rule"])
    assert "self.engine.type != 'few'" in rate


def test_every_signal_has_a_class_and_needs_somebody_who_reports() -> None:
    assert NEEDS.keys() == LOADS.keys()
    assert USUAL_TARGETS == {"RequestRate": 100, "TimeToFirstToken": 500, "KVCache": 80, "DeviceUtilization": 70}
