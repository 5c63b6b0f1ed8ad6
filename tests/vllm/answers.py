"""Run by vLLM's own interpreter: reads [arguments of `vllm`, prompts, tokens] as JSON, one a line, and writes what it answers.

Each line is a model of its own, started in this process from the very arguments that a pod gets, by the parser that
`vllm serve` has, and its answers by the name that is asked: an empty one for the model, and each adapter's. An answer is the
prompt's token ids and those that follow, the likeliest each.
"""

import gc
import json
import sys
from typing import Any

from vllm import LLM, SamplingParams
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory
from vllm.engine.arg_utils import EngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.lora.request import LoRARequest
from vllm.utils.argparse_utils import FlexibleArgumentParser


def answers(arguments: list[str], prompts: list[str], tokens: int) -> dict[str, list[list[list[int]]]]:
    """The ids of each prompt and of its answer, by name."""
    command, *rest = arguments
    assert command == "serve"
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(rest)
    validate_parsed_serve_args(parsed)
    # As `vllm serve` does with the model that it is given without a flag.
    parsed.model = parsed.model_tag or parsed.model
    model = LLM.from_engine_args(EngineArgs.from_cli_args(parsed))
    sampling = SamplingParams(max_tokens=tokens, temperature=0, ignore_eos=True)
    found = {"": model.generate(prompts, sampling, use_tqdm=False)}
    for number, module in enumerate(parsed.lora_modules or (), 1):
        adapter = LoRARequest(module.name, number, module.path)
        found[module.name] = model.generate(prompts, sampling, use_tqdm=False, lora_request=adapter)
    return {name: [_ids(one) for one in outputs] for name, outputs in found.items()}


def _ids(output: Any) -> list[list[int]]:
    return [list(output.prompt_token_ids), list(output.outputs[0].token_ids)]


for line in sys.stdin:
    print("ANSWERS", json.dumps(answers(*json.loads(line))), flush=True)
    gc.collect()
    cleanup_dist_env_and_memory()
