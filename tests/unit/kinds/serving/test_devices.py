"""Servings under a profile: what is sized, recorded, refused and told, and what never changes afterwards."""

from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.actions import Create, Done
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kind import Decision
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.core.web_access import NOWHERE
from deepseek_operator.domain.devices.profiles import profiles_from_config
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.devices import earlier_references, planned, reference
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.model import resolve
from deepseek_operator.kinds.serving.revision import controller_revision, revision_name, user_input
from deepseek_operator.kinds.serving.signals import queries
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.replicas.keeper import Pods
from tests.support.host_access import EVERYWHERE
from tests.support.serving_life import ServingLife
from tests.support.servings import DENSE, R1, SOURCE, a_replica, a_serving, seen_of

CONFIGURATION = Configuration()


def plan_of(configuration: Configuration = CONFIGURATION, **spec: Any) -> PlanStatus:
    found = planned(DeepSeekServing.model_validate(a_replica(**spec)), configuration)
    assert found is not None
    return found


def decide(seen: Seen[DeepSeekServing], configuration: Configuration = CONFIGURATION) -> Decision[ServingStatus]:
    return serving_kind(configuration).decide(seen)


def settled(serving: dict[str, Any], configuration: Configuration = CONFIGURATION) -> Seen[DeepSeekServing]:
    """The look after the records were written."""
    seen = seen_of(serving)
    for _ in range(5):
        record = decide(seen, configuration).plan.record
        if record is None:
            return seen
        seen = replace(seen, owner=seen.owner.model_copy(update={"status": record}))
    raise AssertionError("the records never settle")


def revision_of(seen: Seen[DeepSeekServing], configuration: Configuration = CONFIGURATION) -> Manifest:
    (create,) = [action for action in decide(seen, configuration).plan.actions if isinstance(action, Create)]
    return create.manifest


def container_of(**spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = revision_of(settled(a_replica(**spec)))["data"]["template"]["spec"]["containers"][0]
    return container


def stalled(seen: Seen[DeepSeekServing]) -> tuple[str, str]:
    condition = next(c for c in decide(seen).status(Done()).conditions if c.type == "Stalled")
    assert condition.status == "True"
    return condition.reason, condition.message


def test_r1_in_fp8_is_accepted_on_8_h200() -> None:
    found = plan_of()
    assert (found.refused, found.gpus, found.format, found.layout) == ("", 8, "fp8", "TP 8, EP 8")
    command = container_of()["command"]
    assert command[3:7] == ["sh", "vllm", "serve", "/model"]
    assert command[command.index("--tensor-parallel-size") + 1] == "8"


def test_r1_in_fp8_is_refused_on_8_h100_with_what_is_missing_and_what_would_fit() -> None:
    seen = settled(a_replica(accelerator={"profile": "nvidia-h100-80", "perNode": 8}))
    reason, message = stalled(seen)
    assert reason == "DoesNotFit"
    assert "lacks 17.9 GiB" in message
    assert "16 devices (TP 8 × PP 2, EP 8)" in message
    assert "awq weights: 8 devices" in message
    assert decide(seen, CONFIGURATION).plan.actions == ()


def test_the_offered_quantization_is_accepted() -> None:
    found = plan_of(model={**R1, "quantization": "awq"}, accelerator={"profile": "nvidia-h100-80", "perNode": 8})
    assert (found.refused, found.format) == ("", "awq")


def test_what_no_node_holds_is_spread_over_as_many_whole_ones_as_it_takes() -> None:
    found = plan_of(accelerator={"profile": "nvidia-h100-80"})
    assert (found.refused, found.nodes, found.per_node, found.layout) == ("", 2, 8, "TP 8 × PP 2, EP 8")


@pytest.mark.parametrize(("per_node", "count"), [(8, 2), (4, 4)])
def test_who_writes_the_devices_of_a_pod_writes_the_nodes_too(per_node: int, count: int) -> None:
    written = {"profile": "nvidia-h100-80", "perNode": per_node}
    refused = plan_of(accelerator=written)
    assert refused.refused == "DoesNotFit"
    assert refused.reason.endswith("write nodes.count)")
    assert plan_of(accelerator=written, nodes={"count": count}).nodes == count


@pytest.mark.parametrize("engine", ["builtin", "vllm", "custom"])
def test_an_unknown_profile_is_refused_with_its_neighbours_and_never_becomes_cpu(engine: str) -> None:
    seen = settled(a_replica(engine={"type": engine, "image": "e:1"}, accelerator={"profile": "h2000"}))
    reason, message = stalled(seen)
    assert reason == "UnknownProfile"
    assert "h200" in message
    assert decide(seen, CONFIGURATION).plan.actions == ()


def test_a_written_layout_is_kept_or_refused_with_its_reason() -> None:
    assert plan_of(model=DENSE, parallelism={"tensor": 4}).layout == "TP 4"
    refused = plan_of(parallelism={"tensor": 7})
    assert (refused.refused, refused.layout) == ("DoesNotFit", "")
    assert "7" in refused.reason


def test_a_model_that_is_not_known_is_served_as_written_and_says_that_it_was_not_sized() -> None:
    spec: dict[str, Any] = {
        "model": {"name": "ours", "source": SOURCE},
        "accelerator": {"profile": "h200"},
        "parallelism": {"tensor": 4},
    }
    found = plan_of(**spec)
    assert found.reason.startswith("not sized: model.name ours is not in the catalogue")
    told = find(decide(settled(a_replica(**spec))).status(Done()).conditions, "SizingWarning")
    assert told is not None
    assert (told.status, told.reason) == ("True", "NotSized")
    assert (found.refused, found.layout, found.gpus) == ("", "TP 4", 4)
    container = container_of(**spec)
    assert "--tensor-parallel-size 4" in " ".join(container["command"])
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "4"}


def test_degrees_that_do_not_multiply_out_are_refused() -> None:
    model = {"name": "ours", "source": SOURCE}
    refused = plan_of(model=model, accelerator={"profile": "h200", "perNode": 8}, parallelism={"tensor": 4})
    assert refused.refused == "Unsupported"
    assert "multiplies to 4" in refused.reason


def test_a_private_model_is_sized_by_its_config() -> None:
    config = {
        "model_type": "llama", "num_hidden_layers": 80, "hidden_size": 8192, "num_attention_heads": 64,
        "num_key_value_heads": 8, "intermediate_size": 28672, "vocab_size": 128256, "max_position_embeddings": 8192,
    }  # fmt: skip
    found = plan_of(model={"source": SOURCE, "custom": config})
    assert found.memory is not None
    assert found.gpus == 2


def test_sglang_has_its_own_command_and_metric_names() -> None:
    engine = {"type": "sglang", "version": "0.5.23"}
    assert "sglang.launch_server" in container_of(engine=engine)["command"]
    scaled = a_replica(engine=engine, autoscaling={"maxReplicas": 2, "signals": [{"target": 8}]})
    asked = dict(queries(DeepSeekServing.model_validate(scaled), CONFIGURATION))
    assert "sglang:num_running_reqs{" in asked["InFlight"]
    assert "sglang:num_queue_reqs{" in asked["InFlight"]
    assert "vllm" not in asked["replicas_reporting"]


def test_what_an_engine_can_not_do_is_refused_with_what_to_write() -> None:
    refused = plan_of(
        model={"name": "deepseek-v4-flash", "source": SOURCE}, engine={"type": "vllm", "version": "0.18.0"}
    )
    assert refused.refused == "Unsupported"
    assert "engine.version" in refused.reason


def test_the_user_may_set_an_engines_variables_and_flags() -> None:
    engine = {"type": "vllm", "args": ["--max-num-seqs=64"], "env": [{"name": "VLLM_NO_USAGE_STATS", "value": "0"}]}
    container = container_of(engine=engine)
    assert container["command"][-1] == "--max-num-seqs=64"
    assert {"name": "VLLM_NO_USAGE_STATS", "value": "0"} in container["env"]
    assert len({variable["name"] for variable in container["env"]}) == len(container["env"])


def test_the_drain_of_the_engine_ends_within_the_grace_period() -> None:
    command = container_of(pod={"terminationGracePeriodSeconds": 600})["command"]
    assert int(command[command.index("--shutdown-timeout") + 1]) + 35 <= 600


def test_a_changed_catalogue_touches_neither_the_record_nor_a_stored_revision() -> None:
    seen = settled(a_replica())
    smaller = Configuration(profiles=profiles_from_config({"nvidia-h200-141": {"memoryGiB": 40}}))
    assert decide(seen, smaller).plan.record is None, "the record stays until its input changes"
    stored = revision_of(seen)
    wiped = replace(seen_of(a_replica()), children={**seen_of(a_replica(), children=[stored]).children})
    record = decide(wiped, smaller).plan.record
    assert record is not None
    assert record.plan == seen.owner.status.plan


def test_a_refusal_is_judged_anew_when_the_administrator_has_changed_the_profile() -> None:
    seen = settled(a_replica(accelerator={"profile": "nvidia-h100-80", "perNode": 8}))
    larger = Configuration(profiles=profiles_from_config({"nvidia-h100-80": {"memoryGiB": 141}}))
    record = decide(seen, larger).plan.record
    assert record is not None
    assert record.plan is not None
    assert record.plan.refused == ""


def test_the_name_of_a_revision_depends_on_what_was_written_not_on_what_was_found() -> None:
    seen = settled(a_replica())
    assert seen.owner.status.resolved is not None
    assert user_input(seen.owner, seen.owner.status.resolved) == {
        "model": {"claim": "models", "path": "m", "name": "deepseek-r1"},
        "engine": {"type": "vllm"},
        "accelerator": {"profile": "nvidia-h200-141"},
    }


def test_huge_pages_without_memory_are_refused_before_kubernetes_does() -> None:
    refused = plan_of(Configuration(host_access=EVERYWHERE), model=DENSE, accelerator={"profile": "gaudi3"})
    assert refused.refused == "Unsupported"
    assert "engine.resources.memory" in refused.reason


def test_no_profile_means_no_plan() -> None:
    assert settled(a_serving()).owner.status.plan is None


def test_a_profile_that_was_taken_away_leaves_what_runs_and_is_told_to_the_next_revision() -> None:
    ours = Configuration(profiles=profiles_from_config({"ours": {"base": "nvidia-h200-141"}}))
    life = ServingLife(configuration=ours, **a_replica(accelerator={"profile": "ours"})["spec"])
    life.run()
    runs = life.status.stable
    life.upgrade(CONFIGURATION)
    assert life.status.phase == "Available"
    life.edit(engine={"type": "vllm", "env": [{"name": "A", "value": "1"}]})
    condition = find(life.status.conditions, "Stalled")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "UnknownProfile")
    assert life.status.current is not None
    assert (life.status.current.name, life.status.current.ready) == (runs, 1)


def test_a_plan_that_this_operator_can_not_serve_is_told_to_the_next_revision() -> None:
    life = ServingLife(**a_replica()["spec"])
    life.run()
    pages = {"resource": "hugepages-2Mi", "quantity": 1, "unit": "Gi"}
    stricter = Configuration(profiles=profiles_from_config({"nvidia-h200-141": {"companions": [pages]}}))
    life.upgrade(stricter)
    assert life.status.phase == "Available"
    life.edit(engine={"type": "vllm", "env": [{"name": "A", "value": "1"}]})
    condition = find(life.status.conditions, "Stalled")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "Unsupported")


def test_flags_of_the_operators_are_refused_with_the_fields_and_leave_what_runs() -> None:
    life = ServingLife(**a_replica()["spec"])
    life.run()
    runs = life.status.stable
    life.edit(engine={"type": "vllm", "args": ["--port=9000", "-tp", "4"]})
    condition = find(life.status.conditions, "Stalled")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "Unsupported")
    assert "port 8000" in condition.message
    assert "parallelism.tensor" in condition.message
    assert life.status.current is not None
    assert (life.status.current.name, life.status.current.ready) == (runs, 1)
    life.edit(engine={"type": "vllm", "args": []}, parallelism={"tensor": 8})
    assert find(life.status.conditions, "Stalled").status != "True"  # type: ignore[union-attr]


def test_the_memory_that_a_flag_leaves_the_engine_is_what_is_counted() -> None:
    refused = plan_of(engine={"type": "vllm", "args": ["--gpu-memory-utilization", "0.3"]}, accelerator={"profile": "h200", "perNode": 8})  # fmt: skip
    assert refused.refused == "DoesNotFit"
    assert plan_of(engine={"type": "vllm", "args": ["--gpu-memory-utilization=0.8"]}).memory.available == "112.3 GiB"  # type: ignore[union-attr]


def test_room_for_adapters_is_counted_where_the_engine_takes_it() -> None:
    """A 70B of eight H200 with room to spare, until vLLM has slots for adapters that nobody would load at once."""
    adapters = [{"name": f"a{number}", "source": SOURCE, "rank": 64} for number in range(8)]

    def needed(**spec: Any) -> float:
        devices = {"accelerator": {"profile": "h200", "perNode": 8}, "parallelism": {"tensor": 8}}
        plan = plan_of(**{"engine": {"type": "vllm"}, **devices, **spec})
        return float(plan.memory.needed.removesuffix(" GiB"))  # type: ignore[union-attr]

    plain, some = needed(), needed(adapters=adapters)
    assert some > plain + 1
    assert needed(adapters=adapters[:4]) == pytest.approx((plain + some) / 2, abs=0.2)
    flags = ["--enable-lora", "--max-loras", "8", "--max-lora-rank", "64"]
    assert needed(engine={"type": "vllm", "args": flags}) == pytest.approx(some, abs=0.2)
    assert needed(engine={"type": "sglang"}, adapters=adapters) == needed(engine={"type": "sglang"})


def test_slots_that_no_device_holds_are_refused() -> None:
    engine = {"type": "vllm", "args": ["--enable-lora", "--max-loras", "512", "--max-lora-rank", "512"]}
    refused = plan_of(engine=engine, accelerator={"profile": "h200", "perNode": 8})
    assert refused.refused == "DoesNotFit"


def test_more_adapters_and_wider_ones_are_planned_anew() -> None:
    def asked(*ranks: int) -> str:
        adapters = [{"name": f"a{number}", "source": SOURCE, "rank": rank} for number, rank in enumerate(ranks)]
        return reference(seen_of(a_serving(**a_replica(adapters=adapters)["spec"])).owner)

    assert len({asked(), asked(16), asked(64), asked(16, 16)}) == 4
    assert asked(64, 16) == asked(16, 64), "room is kept for the widest"


@pytest.mark.parametrize("more", [{"with_flags": False}, {}])
def test_what_was_planned_before_adapters_were_counted_stays_planned(more: dict[str, bool]) -> None:
    seen = seen_of(a_serving(**a_replica(adapters=[{"name": "a", "source": SOURCE}])["spec"]))
    earlier = reference(seen.owner, with_adapters=False, **more)
    assert earlier in earlier_references(seen.owner)
    assert earlier != reference(seen.owner)
    plain = seen_of(a_serving(**a_replica()["spec"]))
    assert reference(plain.owner, with_adapters=False) == reference(plain.owner), "without any nothing is planned anew"


def test_what_was_planned_before_flags_were_counted_stays_planned() -> None:
    spec = a_replica(engine={"type": "vllm", "args": ["--gpu-memory-utilization", "0.3"]})["spec"]
    plain = settled(a_replica()).owner.status.plan
    assert plain is not None
    seen = seen_of(a_serving(**spec))
    old = plain.model_copy(update={"reference": reference(seen.owner, with_flags=False, with_adapters=False)})
    with_plan = replace(seen, owner=seen.owner.model_copy(update={"status": seen.owner.status.model_copy(update={"plan": old})}))  # fmt: skip
    model = resolve(with_plan, NOWHERE)
    assert isinstance(model, ResolvedModel)
    name = revision_name(with_plan.owner, model)
    stored = controller_revision(with_plan.owner, name, 1, Pods({"metadata": {}, "spec": {}}), model)
    rendered = replace(with_plan, children=seen_of(a_serving(**spec), children=[stored]).children)
    assert View(rendered, Fresh(CONFIGURATION)).devices == old
    assert View(with_plan, Fresh(CONFIGURATION)).devices not in (None, old)


@pytest.mark.parametrize("version", ["0.33.0", "v0.33.0", "0.33"])
def test_every_spelling_of_a_release_is_one_image(version: str) -> None:
    assert container_of(engine={"type": "vllm", "version": version})["image"] == "vllm/vllm-openai:v0.33.0"


@pytest.mark.parametrize("accelerator", [{"profile": "h200"}, {"profile": "h200", "perNode": 8}])
@pytest.mark.parametrize("name", ["deepseek-r1-distill-qwen-7b-tuned", "deepseek-vl2", "my-model"])
def test_no_tensor_degree_is_guessed_for_a_model_that_is_not_known(name: str, accelerator: dict[str, Any]) -> None:
    refused = plan_of(model={"name": name, "source": SOURCE}, accelerator=accelerator)
    assert refused.refused == "Unsupported"
    assert "parallelism.tensor" in refused.reason
    assert "model.custom" in refused.reason


def test_the_nearest_names_are_told() -> None:
    refused = plan_of(model={"name": "deepseek-r1-distil-qwen-7b", "source": SOURCE})
    assert "nearest: deepseek-r1-distill-qwen-7b" in refused.reason


def test_the_format_that_a_name_says_is_counted_and_the_users_word_wins() -> None:
    name = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B-AWQ"
    assert plan_of(model={"name": name, "source": SOURCE}).format == "awq"
    assert plan_of(model={"name": name, "source": SOURCE, "quantization": "int8"}).format == "int8"


def test_a_target_that_a_bounded_replica_never_exceeds_is_refused_with_both_numbers() -> None:
    engine = {"type": "vllm", "args": ["--max-num-seqs=8", "--max-num-queued-reqs=8"]}
    scaled = {"maxReplicas": 2, "signals": [{"target": 16}]}
    refused = plan_of(engine=engine, autoscaling=scaled)
    assert refused.refused == "Unsupported"
    assert "target 16" in refused.reason
    assert "admits 16" in refused.reason
    assert plan_of(engine=engine, autoscaling={**scaled, "signals": [{"target": 15}]}).refused == ""
    assert plan_of(engine={"type": "vllm", "args": ["--max-num-seqs=8"]}, autoscaling=scaled).refused == ""
