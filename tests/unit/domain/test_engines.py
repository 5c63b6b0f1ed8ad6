"""Serving commands: what each engine is told, and what it refuses."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.domain.devices.profiles import BUILT_IN, custom_resource
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.programs.engines.probes import startup_seconds
from deepseek_operator.domain.programs.engines.request import Adapter, AdapterKind
from deepseek_operator.domain.programs.engines.table import ENGINES, build
from deepseek_operator.domain.values.command import Command, Probes, Refusal, Signal
from deepseek_operator.domain.values.version import Version
from tests.support.requests import GIB, serving
from tests.support.search import examples

DEP8 = Layout(data=8, expert=8)


def command(engine: str = "vllm", **values: Any) -> Command:
    built = build(engine, serving(engine=engine, **values))
    assert isinstance(built, Command), built
    return built


def refused(engine: str = "vllm", **values: Any) -> Refusal:
    built = build(engine, serving(engine=engine, **values))
    assert isinstance(built, Refusal), built
    return built


def probes(built: Command) -> Probes:
    assert built.probes is not None
    return built.probes


def ready_path(built: Command) -> str | None:
    readiness = probes(built).readiness
    assert readiness is not None
    return readiness.path


def worker_args(built: Command) -> tuple[str, ...]:
    assert built.worker_args is not None
    return built.worker_args


def option(built: Command | Iterable[str], flag: str) -> str | None:
    words = list(built.args if isinstance(built, Command) else built)
    return words[words.index(flag) + 1] if flag in words else None


def test_r1_on_eight_h200_is_one_tensor_group_with_r1s_parser() -> None:
    built = command()
    assert built.args[3:7] == ("sh", "vllm", "serve", "deepseek-ai/DeepSeek-R1")
    assert option(built, "--tensor-parallel-size") == "8"
    assert option(built, "--reasoning-parser") == "deepseek_r1"
    assert (built.devices, built.devices_per_node, built.worker_args) == (8, 8, None)


def test_fp8_checkpoints_are_never_told_their_own_quantization() -> None:
    for engine in ("vllm", "sglang"):
        assert "--quantization" not in command(engine).args
        assert "--quantization" not in command(engine, model="deepseek-v3.2").args


def test_a_dense_bf16_model_is_rounded_to_fp8_while_loading_where_that_is_asked() -> None:
    for engine in ("vllm", "sglang"):
        built = command(engine, model="deepseek-r1-distill-llama-70b", storage="fp8")
        assert option(built, "--quantization") == "fp8"


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_fp8_on_a100_is_refused_with_what_to_write(engine: str) -> None:
    answer = refused(
        engine, accelerator="a100-80", layout=Layout(tensor=8, pipeline=2), nodes=1 if engine == "tensorrt-llm" else 2
    )
    assert "can't run fp8" in answer.reason
    assert "int8 or awq or gptq" in answer.instead


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_v4_on_mi300x_is_refused(engine: str) -> None:
    assert "V4 kernels" in refused(engine, model="deepseek-v4-flash", accelerator="mi300x").reason


@pytest.mark.parametrize(("rank", "room"), [(1, "8"), (8, "8"), (9, "16"), (257, "320"), (512, "512")])
def test_vllm_keeps_room_for_the_widest_adapter(rank: int, room: str) -> None:
    adapters = (Adapter("a", "/adapters/0", rank=rank), Adapter("b", "/adapters/1", rank=1))
    built = command(model="deepseek-r1-distill-qwen-7b", adapters=adapters, layout=Layout())
    assert (option(built, "--max-lora-rank"), option(built, "--max-loras")) == (room, "2")
    assert built.args[built.args.index("--lora-modules") + 1 :][:2] == ("a=/adapters/0", "b=/adapters/1")


def test_an_adapter_that_is_too_wide_for_vllm_is_refused_by_name() -> None:
    adapter = Adapter("wide", "/adapters/0", rank=513)
    answer = refused(model="deepseek-r1-distill-qwen-7b", adapters=(adapter,), layout=Layout())
    assert "rank 512 at most, and wide has 513" in answer.reason
    assert "method.lora.export Merged" in answer.instead


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--lora-modules"), ("sglang", "--lora-paths")])
def test_adapters_are_no_matter_of_flags(engine: str, flag: str) -> None:
    answer = refused(engine, model="deepseek-r1-distill-qwen-7b", extra_args=(flag, "a=/x"), layout=Layout())
    assert f"{flag}: write adapters" in answer.instead


def test_every_alias_is_a_name_of_vllm_s_and_sglang_is_told_the_first() -> None:
    names: dict[str, Any] = {"served_name": "a", "aliases": ("b", "$(c)")}
    args = command(model="deepseek-r1-distill-qwen-7b", layout=Layout(), **names).args
    at = args.index("--served-model-name")
    assert args[at + 1 : at + 5] == ("a", "b", "$$(c)", "--shutdown-timeout")
    args = command("sglang", model="deepseek-r1-distill-qwen-7b", layout=Layout(), **names).args
    at = args.index("--served-model-name")
    assert args[at + 1 : at + 3] == ("a", "--host")


@pytest.mark.parametrize("engine", ["tensorrt-llm", "triton"])
def test_engines_that_answer_to_one_name_refuse_aliases(engine: str) -> None:
    answer = refused(engine, model="deepseek-r1-distill-qwen-7b", aliases=("b",), layout=Layout())
    assert answer.instead == "leave gateway.models out"


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_prompt_adapters_are_refused(engine: str) -> None:
    adapter = Adapter("soft", "/adapters/soft", AdapterKind.PROMPT)
    answer = refused(engine, model="deepseek-r1-distill-qwen-7b", adapters=(adapter,), layout=Layout())
    assert "adapters" in answer.reason


@pytest.mark.parametrize(
    ("model", "oldest"),
    [
        ("deepseek-v4-flash", "0.20.0"),
        ("deepseek-v4-flash-0731", "0.25.0"),
        ("deepseek-v4.1-flash", "0.32.0"),
        ("deepseek-r1", "0.18.0"),
    ],
)
def test_a_release_that_does_not_know_the_model_is_refused_with_the_first_that_does(model: str, oldest: str) -> None:
    assert refused(model=model, version="0.9.2").instead == f"write engine.version {oldest} or newer"
    assert isinstance(build("vllm", serving(model, version=oldest)), Command)


def test_v4s_spring_release_runs_on_vllm_0_20() -> None:
    assert isinstance(
        build("vllm", serving("deepseek-v4-flash", path="deepseek-ai/DeepSeek-V4-Flash", version="0.20.0")), Command
    )


def test_v4_has_its_cache_block_size_and_tokenizer() -> None:
    built = command(model="deepseek-v4-flash", accelerator="b200")
    wanted = {"--kv-cache-dtype": "fp8", "--block-size": "256", "--tokenizer-mode": "deepseek_v4",
              "--moe-backend": "deep_gemm_mega_moe"}  # fmt: skip
    assert {flag: option(built, flag) for flag in wanted} == wanted
    assert option(command(model="deepseek-v4-flash"), "--moe-backend") is None


@pytest.mark.parametrize(
    ("model", "vllm_tool", "sglang_tool"),
    [("deepseek-v3", "deepseek_v3", "deepseekv3"), ("deepseek-v3.1", "deepseek_v31", "deepseekv31"),
     ("deepseek-v3.2", "deepseek_v32", "deepseekv32"), ("deepseek-v4-pro", "deepseek_v4", "deepseekv4"),
     ("deepseek-v4.1-flash", "deepseek_v41", "deepseekv41")],
)  # fmt: skip
def test_each_generation_has_its_own_tool_parser_in_each_engines_spelling(
    model: str, vllm_tool: str, sglang_tool: str
) -> None:
    assert option(command(model=model, tool_calls=True), "--tool-call-parser") == vllm_tool
    assert option(command("sglang", model=model, tool_calls=True), "--tool-call-parser") == sglang_tool


def test_several_nodes_need_no_ray() -> None:
    built = command(accelerator="h100", layout=Layout(tensor=8, pipeline=2), nodes=2)
    assert option(built, "--nnodes") == "2"
    assert option(built, "--node-rank") == "$(LWS_WORKER_INDEX)"
    assert "--headless" not in built.args
    assert built.worker_args == (*built.args, "--headless")
    assert "ray" not in " ".join(built.args)


def test_data_ranks_over_nodes_start_at_the_nodes_share() -> None:
    built = command(layout=Layout(data=16, expert=16), nodes=2)
    assert option(built, "--data-parallel-size") == "16"
    assert option(built, "--data-parallel-size-local") == "8"
    assert worker_args(built)[:2] == ("sh", "-c")
    assert worker_args(built)[2] == 'exec "$@" --headless --data-parallel-start-rank "$((LWS_WORKER_INDEX * 8))"'
    assert worker_args(built)[4:] == built.args


def test_no_text_of_the_user_reaches_the_shell() -> None:
    hostile = '$(reboot)"; touch /tmp/x; echo "'
    built = command(layout=Layout(data=16, expert=16), nodes=2, served_name=hostile)
    assert hostile not in worker_args(built)[2]
    assert "$" + hostile in worker_args(built), "Kubernetes expands no $(NAME) of the user's"


@pytest.mark.parametrize("model", ["deepseek-v4-flash", "deepseek-v4.1-flash"])
def test_a_bf16_cache_of_compressed_attention_is_refused_by_vllm_and_taken_by_sglang(model: str) -> None:
    spread = Layout(tensor=4, expert=4)
    assert "in FP8" in refused("vllm", model=model, layout=spread, kv_dtype="bf16").reason
    assert option(command("vllm", model=model, layout=spread, kv_dtype="fp8"), "--kv-cache-dtype") == "fp8"
    # sglang/srt/arg_groups/overrides.py: fp8_e4m3 or bfloat16
    assert option(command("sglang", model=model, layout=spread, kv_dtype="bf16"), "--kv-cache-dtype") == "bfloat16"


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "triton"])
def test_a_cache_format_that_nobody_knows_is_refused(engine: str) -> None:
    assert "no KV cache of int4 is known" in refused(engine, kv_dtype="int4").reason


def test_tensorrt_llm_takes_no_bf16_cache_and_keeps_its_fraction_beside_an_fp8_one() -> None:
    # tensorrt_llm/_torch/pyexecutor/model_loader.py: fp8, nvfp4 and auto, anything else is an error at the start
    assert "checkpoint says" in refused("tensorrt-llm", kv_dtype="bf16").reason
    built = command("tensorrt-llm", kv_dtype="fp8", memory_fraction=0.8)
    options = json.loads(built.files["/etc/engine/trtllm.yaml"])
    assert options["kv_cache_config"] == {"dtype": "fp8", "free_gpu_memory_fraction": 0.8}


def test_triton_gives_vllm_its_own_word_for_a_bf16_cache() -> None:
    built = command("triton", model="deepseek-r1-distill-llama-8b", layout=Layout(tensor=2), kv_dtype="bf16")
    (engine,) = (json.loads(text) for path, text in built.files.items() if path.endswith("model.json"))
    assert engine["kv_cache_dtype"] == "bfloat16"


@pytest.mark.parametrize("model", ["deepseek-v3.2", "deepseek-v4-flash", "deepseek-v4.1-flash"])
def test_sparse_attention_is_not_sent_to_a_vllm_that_may_not_have_it(model: str) -> None:
    assert "inside of Triton" in refused("triton", model=model, layout=Layout(tensor=4, expert=4)).reason


def test_triton_promises_no_signal_that_its_vllm_backend_does_not_publish() -> None:
    # triton-inference-server/vllm_backend src/utils/metrics.py, since its move to vLLM's V1 engine
    published = {
        "vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:time_to_first_token_seconds",
        "vllm:time_per_output_token_seconds", "vllm:e2e_request_latency_seconds", "vllm:request_prompt_tokens",
        "vllm:request_generation_tokens", "vllm:request_params_n",
    }  # fmt: skip
    names = ENGINES["triton"].metric_names(None)
    assert {name for name in names.values() if name.startswith("vllm:")} <= published
    assert Signal.RUNNING not in names


def test_triton_makes_no_folder_outside_its_repository() -> None:
    assert "folder of its name" in refused("triton", served_name="../../etc").reason


def test_sglang_counts_attention_data_ranks_inside_tensor() -> None:
    built = command("sglang", layout=DEP8)
    assert option(built, "--tp-size") == "8"
    assert option(built, "--attn-dp-size") == "8"
    assert built.devices == 8
    older = command("sglang", layout=DEP8, version="0.5.13")
    assert (option(older, "--dp-size"), "--enable-dp-attention" in older.args) == ("8", True)


def test_sglang_runs_data_ranks_of_a_dense_model_as_replicas() -> None:
    built = command("sglang", model="deepseek-r1-distill-llama-70b", layout=Layout(tensor=2, data=4))
    assert (option(built, "--tp-size"), option(built, "--dp-size")) == ("2", "4")
    assert built.devices == 8


def test_sglang_is_told_to_listen_and_to_measure() -> None:
    built = command("sglang")
    assert option(built, "--host") == "0.0.0.0"
    assert "--enable-metrics" in built.args
    assert ready_path(built) == "/ready"
    assert ready_path(command("sglang", version="0.5.13")) == "/health"


def test_the_start_up_budget_follows_the_bytes_and_vllm_is_told_the_same() -> None:
    built = command(weights_bytes=641 * GIB, load_bytes_per_second=1_000_000_000)
    budget = probes(built).startup.budget_seconds
    assert budget == startup_seconds(641 * GIB, 1_000_000_000) == 1980
    assert startup_seconds(641 * GIB, 1) == 86400
    assert dict(built.env)["VLLM_ENGINE_READY_TIMEOUT_S"] == "1980"
    assert probes(command(weights_bytes=2 * 641 * GIB)).startup.budget_seconds > budget


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "triton"])
def test_an_engine_is_never_killed_while_it_may_still_drain(engine: str) -> None:
    assert command(engine, drain_seconds=300).termination_grace_seconds > 300


def test_vllm_drains_instead_of_aborting() -> None:
    assert option(command(drain_seconds=300), "--shutdown-timeout") == "300"


def test_no_key_reaches_an_argument() -> None:
    assert "into its log" in refused("sglang", api_key_variable="SERVING_KEY").reason
    assert dict(command(api_key_variable="SERVING_KEY").env)["VLLM_API_KEY"] == "$(SERVING_KEY)"
    assert "--api-key" not in command(api_key_variable="SERVING_KEY").args


def test_a_queue_is_bounded_only_by_releases_that_can() -> None:
    assert option(command(queue_limit=32), "--max-num-queued-reqs") == "32"
    assert "can't bound its queue" in refused(queue_limit=32, version="0.25.0").reason


def test_variables_that_a_release_no_longer_reads_are_not_set() -> None:
    assert ("VLLM_USE_FLASHINFER_MOE_FP8", "1") in command(version="0.20.0").env
    assert "VLLM_USE_FLASHINFER_MOE_FP8" not in dict(command().env)


def test_metric_names_follow_their_renames() -> None:
    old, new = ENGINES["vllm"].metrics(Version(0, 8)), ENGINES["vllm"].metrics(Version(0, 33))
    assert (old[Signal.KV_USAGE], new[Signal.KV_USAGE]) == ("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc")
    assert set(old) == set(new) == set(Signal)


def test_slices_form_no_group() -> None:
    answer = refused(
        model="deepseek-r1-distill-qwen-14b", accelerator="nvidia-h100-mig-3g.40gb", layout=Layout(tensor=2)
    )
    assert "slice" in answer.reason


def test_fp8_blocks_forbid_thirty_two_tensor_ranks_on_v3() -> None:
    answer = refused(model="deepseek-v3", layout=Layout(tensor=32), nodes=4)
    assert "blocks of 128" in answer.reason


def test_the_built_in_engine_names_the_others_above_its_size() -> None:
    answer = refused("builtin", accelerator="h200", layout=Layout())
    assert "671.0e9" in answer.reason
    assert "vllm" in answer.instead
    assert isinstance(build("builtin", serving("deepseek-r1-distill-qwen-1.5b", "cpu", Layout(), "builtin")), Command)


def test_tensorrt_llm_makes_every_rank_a_data_rank_or_none() -> None:
    built = command("tensorrt-llm", layout=DEP8)
    assert option(built, "--tp_size") == "8"
    assert '"enable_attention_dp": true' in next(iter(built.files.values()))
    assert "not both" in refused("tensorrt-llm", layout=Layout(tensor=4, data=2, expert=8)).reason


def test_tensorrt_llm_is_told_its_name_from_the_release_on_that_takes_one_and_others_say_what_they_show() -> None:
    # NVIDIA/TensorRT-LLM#11711
    named, bare = command("tensorrt-llm", version="1.3.0", served_name="$(x)"), command("tensorrt-llm", path="/model")
    assert option(named, "--served_model_name") == "$$(x)"
    assert not any("name" in warning for warning in named.warnings)
    assert "--served_model_name" not in bare.args
    assert any("by its folder's, model" in warning for warning in bare.warnings)


def test_tensorrt_llm_publishes_what_each_release_does_and_promises_no_load() -> None:
    # NVIDIA/TensorRT-LLM#5785: five metrics without a prefix; #12545: more, and gauges that move when requests end
    bare, named = (ENGINES["tensorrt-llm"].metric_names(version) for version in ("1.2.1", "1.3.0"))
    assert bare[Signal.TIME_TO_FIRST_TOKEN] == "time_to_first_token_seconds"
    assert named[Signal.TIME_TO_FIRST_TOKEN] == "trtllm_time_to_first_token_seconds"
    assert len(bare) == 5
    assert all(name.startswith("trtllm_") for name in named.values())
    for names in (bare, named):
        assert not names.keys() & {Signal.RUNNING, Signal.WAITING, Signal.KV_USAGE, Signal.STEP_TOKENS, Signal.ANSWERS}
        assert command("tensorrt-llm", version="1.3.0").metrics is not None


def test_tensorrt_llm_writes_v32_s_chats_by_a_tokenizer_of_its_own_which_older_releases_lack() -> None:
    sparse: dict[str, Any] = {"model": "deepseek-v3.2", "layout": Layout(tensor=8, expert=8)}
    assert option(command("tensorrt-llm", **sparse), "--custom_tokenizer") == "deepseek_v32"
    assert "engine.version 1.2.0" in refused("tensorrt-llm", version="1.1.0", **sparse).instead
    assert "--custom_tokenizer" not in command("tensorrt-llm").args


@pytest.mark.parametrize(
    ("values", "reason", "instead"),
    [
        ({"storage": "awq"}, "awq weights", "bf16, fp8 or nvfp4"),
        ({"storage": "w4a8"}, "w4a8 weights", "vllm or sglang"),
        (
            {"model": "deepseek-r1-distill-llama-70b", "storage": "fp8", "layout": Layout(tensor=2)},
            "does not round bf16 weights",
            "leave model.quantization out",
        ),
        ({"version": "1.0.0"}, "tells Prometheus nothing", "engine.version 1.1.0 or newer"),
        ({"model": "deepseek-v4-flash", "layout": Layout(tensor=4, expert=4)}, "not known to run", "vllm or sglang"),
        ({"layout": Layout(tensor=8, pipeline=2), "nodes": 2}, "only through MPI", "vllm or sglang"),
        ({"api_key_variable": "KEY"}, "checks no API key", "gateway"),
        ({"extra_args": ("--tensor_parallel_size", "4")}, "the operator decides", "parallelism.tensor"),
        ({"extra_args": ("--grpc",)}, "the operator decides", "OpenAI's protocol"),
    ],
)
def test_what_tensorrt_llm_does_not_do_is_refused_with_what_to_write(
    values: dict[str, Any], reason: str, instead: str
) -> None:
    answer = refused("tensorrt-llm", **values)
    assert reason in answer.reason
    assert instead in answer.instead


def test_tensorrt_llm_computes_as_many_requests_at_once_as_are_asked_for_over_its_data_ranks() -> None:
    # max_batch_size is of each attention data rank
    assert option(command("tensorrt-llm", max_concurrency=100, layout=DEP8), "--max_batch_size") == "13"
    assert option(command("tensorrt-llm", max_concurrency=100), "--max_batch_size") == "100"


@pytest.mark.parametrize(
    "words", [{"options": {"memoryShare": "0.7"}}, {"extra_args": ("--free_gpu_memory_fraction=0.7",)}]
)
def test_tensorrt_llm_s_file_repeats_the_share_whoever_wrote_it(words: dict[str, Any]) -> None:
    told = json.loads(command("tensorrt-llm", kv_dtype="fp8", **words).files["/etc/engine/trtllm.yaml"])
    assert told["kv_cache_config"] == {"dtype": "fp8", "free_gpu_memory_fraction": 0.7}
    assert "kv_cache_config" not in json.loads(command("tensorrt-llm", **words).files["/etc/engine/trtllm.yaml"])


def test_triton_keeps_its_model_in_a_repository_that_the_frontend_reads_and_answers_on_two_ports() -> None:
    built = command(
        "triton", model="deepseek-r1-distill-llama-70b", layout=Layout(tensor=4), served_name="r1-70b", path="/model"
    )
    assert built.args[:2] == ("python3", "/opt/tritonserver/python/openai/openai_frontend/main.py")
    repository = option(built, "--model-repository")
    assert set(built.files) == {f"{repository}/r1-70b/1/model.json", f"{repository}/r1-70b/config.pbtxt"}
    told = json.loads(built.files[f"{repository}/r1-70b/1/model.json"])
    assert (told["model"], told["tensor_parallel_size"], told["disable_log_stats"]) == ("/model", 4, False)
    assert (
        'key: "REPORT_CUSTOM_METRICS" value: { string_value: "true" }'
        in built.files[f"{repository}/r1-70b/config.pbtxt"]
    )
    assert {port.name: str(port.number) for port in built.ports} == {
        "http": option(built, "--openai-port"), "grpc": option(built, "--kserve-grpc-port"),
    }  # fmt: skip
    assert len({option(built, f"--{name}-port") for name in ("openai", "kserve-grpc", "kserve-http")}) == 3
    assert any("16 tokens" in warning for warning in built.warnings)


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"max_concurrency": 64}, "max_num_seqs", 64),
        ({"max_model_length": 8192}, "max_model_len", 8192),
        ({"storage": "fp8"}, "quantization", "fp8"),
        ({"kv_dtype": "fp8"}, "kv_cache_dtype", "fp8"),
    ],
)
def test_triton_tells_vllm_what_is_asked_and_nothing_else(values: dict[str, Any], field: str, value: object) -> None:
    dense: dict[str, Any] = {"model": "deepseek-r1-distill-llama-70b", "layout": Layout(tensor=4)}

    def told(**asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(next(iter(command("triton", **dense, **asked).files.values())))
        return found

    assert field not in told()
    assert told(**values)[field] == value


@pytest.mark.parametrize(
    ("values", "reason", "instead"),
    [
        ({"version": "25.09"}, "older than what is known", "25.10 or newer"),
        ({"layout": Layout(data=8, expert=8)}, "without data-parallel ranks", "data: 1 with tensor: 8"),
        ({"layout": Layout(tensor=8, pipeline=2), "nodes": 2}, "does not span nodes", "vllm or sglang"),
        ({"storage": "w4a8"}, "w4a8", "sglang"),
        ({"api_key_variable": "KEY"}, "checks no API key", "gateway"),
        ({"queue_limit": 8}, "without a limit", "queueLimit"),
        ({"accelerator": "mi300x"}, "not known to run on amd-mi300x-192", "vllm or sglang or custom"),
        ({"extra_args": ("--openai-restricted-api", "health", "a", "b")}, "the operator decides", "gateway"),
        ({"extra_args": ("--kserve-grpc-port=9",)}, "the operator decides", "port 8000"),
    ],
)
def test_what_triton_does_not_do_is_refused_with_what_to_write(
    values: dict[str, Any], reason: str, instead: str
) -> None:
    answer = refused("triton", **values)
    assert reason in answer.reason
    assert instead in answer.instead


def test_a_custom_resource_gets_no_guessed_command() -> None:
    answer = build("vllm", serving(profile=custom_resource("example.com/npu", 8)))
    assert isinstance(answer, Refusal)
    assert "custom" in answer.instead


def test_an_engine_runs_only_where_a_profile_starts_it() -> None:
    assert "not known to run on intel-gaudi3-128" in refused("sglang", model="deepseek-v3", accelerator="gaudi3").reason
    amd = refused("tensorrt-llm", accelerator="mi300x")
    assert "not known to run on amd-mi300x-192" in amd.reason
    assert amd.instead == "write engine.type vllm or sglang or custom, or another accelerator.profile"


MODELS = ("deepseek-r1", "deepseek-v3.2", "deepseek-v4-flash", "deepseek-r1-distill-llama-70b", "deepseek-v2-lite")
degrees = st.sampled_from([1, 2, 3, 4, 8, 16, 32])


@settings(max_examples=examples(150), deadline=None)
@given(
    engine=st.sampled_from([name for name, entry in ENGINES.items() if entry.build is not None]),
    model=st.sampled_from(MODELS),
    accelerator=st.sampled_from(BUILT_IN.names()),
    layout=st.builds(Layout, tensor=degrees, pipeline=degrees, data=degrees, expert=degrees),
    nodes=st.sampled_from([1, 2, 4]),
    storage=st.sampled_from(["bf16", "fp8", "awq", "int8", "nvfp4", "mxfp4"]),
)
def test_every_request_gets_a_whole_command_or_a_reason(
    engine: str, model: str, accelerator: str, layout: Layout, nodes: int, storage: str
) -> None:
    built = build(engine, serving(model, accelerator, layout, engine, nodes=nodes, storage=storage))
    match built:
        case Refusal(reason=reason, instead=instead):
            assert reason
            assert instead
        case Command():
            assert built.devices == layout.tensor * layout.pipeline * layout.data
            assert built.devices == built.devices_per_node * nodes
            assert probes(built).readiness is not None
            assert all(isinstance(word, str) and word for word in built.args)
            assert storage in {"bf16", *BUILT_IN.resolve(accelerator).accelerator.quantizations}
