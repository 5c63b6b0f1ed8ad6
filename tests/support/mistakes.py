"""What people write instead of what the API takes, as issue trackers of such products show it: changes to a smallest object.

Beside each, words of the answer of `plan -f`; None where the answer of the server is help enough.
"""

from typing import Any

from tests.support.api_objects import Object, minimal_serving, minimal_training

HYPER, RUNTIME, ENGINE = "spec.hyperparameters", "spec.trainer", "spec.engine"


def _pinned(uri: str, **pin: str) -> dict[str, Any]:
    return {"spec.datasets": [{"source": {"uri": uri, "dvc": pin}}]}


def _fetched(uri: str, **more: Any) -> dict[str, Any]:
    return {"spec.datasets": [{"source": {"uri": uri, **more}}]}


def _texts() -> dict[str, Any]:
    return {"spec.datasets": [{"source": {"uri": "pvc://corpora/a.txt"}, "format": "Text"}]}


def _swift(trainer: str = "ms-swift") -> dict[str, Any]:
    return {"spec.trainer": {"type": trainer}}


def _learnt(objective: str, form: str) -> dict[str, Any]:
    datasets = [{"source": {"uri": "pvc://corpora/a.jsonl"}, "format": form}]
    return {"spec.objective": objective, "spec.datasets": datasets, **_swift()}


def _by_vllm(engine: dict[str, Any]) -> dict[str, Any]:
    return {ENGINE: {"type": "vllm", **engine}, "spec.accelerator": {"profile": "nvidia-h200-141"}}


def _mlflow(**said: Any) -> dict[str, Any]:
    return {"spec.tracking": {"mlflow": {"uri": "http://mlflow", **said}}}


def _pod(**said: Any) -> dict[str, Any]:
    return {"spec.trainer.pod": said}


def _judged(*metrics: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"spec.rollout": {"canary": {"steps": [{"weight": 25, "analysis": {"metrics": list(metrics), **said}}]}}}


def _tokens(**said: Any) -> dict[str, Any]:
    jwt = {"issuer": "https://a.example.com", "audiences": ["b"], "jwks": {"configMapName": "keys"}, **said}
    return {"spec.gateway": {**ROUTED, "auth": {"jwt": {k: v for k, v in jwt.items() if v is not None}}}}


def _metered(most: Any) -> dict[str, Any]:
    return {"spec.gateway": {**ROUTED, "auth": {"apiKeys": True}, "limits": {"tokensPerMinute": most}}}


def _cached(is_judged: bool = True, **said: Any) -> dict[str, Any]:
    auth = {"auth": {"apiKeys": True}} if is_judged else {}
    return {"spec.gateway": {**ROUTED, **auth, "cache": said}}


def _compared(weight: int | None = None, **match: Any) -> dict[str, Any]:
    step = {"replicas": 1} | ({"weight": weight} if weight is not None else {})
    return {"spec.rollout": {"canary": {"steps": [step], "match": match}}}


_HELD_OUT = "pvc://corpora/heldout.jsonl"
BASE: dict[str, Any] = {"spec.model": {"source": {"uri": "pvc://models/base"}}}

TRAININGS: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"spec.nodes": 2}, "write nodes: {count: 2}"),
    ({"spec.model": "deepseek-r1"}, "write model: {name: deepseek-r1"),
    ({"spec.method": "LoRA"}, "write method: {type: Full}"),
    (
        {"spec.method": {"type": "QLoRA"}},
        "the built-in trainer has no QLoRA: write trainer.type llama-factory or ms-swift",
    ),
    ({"spec.method": {"type": "PrefixTuning"}}, "write Full, LoRA, QLoRA, PromptTuning or PTuning;"),
    ({"spec.method": {"type": "PTuningV2"}}, "of which multi-head latent attention keeps none"),
    (
        {"spec.model": {"source": {"uri": "hf://a/b@main"}}},
        "a source that is fetched needs claimName",
    ),
    (
        {
            "spec.model": {
                "source": {"uri": "pvc://a/b", "claimName": "a", "credentials": "b", "digest": f"sha256:{'0' * 64}"}
            }
        },
        "a folder of a claim (pvc://) has none of them",
    ),
    ({"spec.method": {"type": "PTuning"}}, "begins at random weights: write model.source or model.fromTraining"),
    ({"spec.method": {"type": "Full", "prompt": {"virtualTokens": 4}}}, "is of methods PromptTuning and PTuning"),
    ({"spec.method": {"type": "lora"}}, "write Full, LoRA, QLoRA, PromptTuning or PTuning;"),
    ({"spec.method": {"type": "LoRA"}}, "write model.source or model.fromTraining, or method.type Full"),
    ({"spec.method": {"lora": {"rank": 8}}}, "is of methods LoRA and QLoRA: write one of them"),
    ({"spec.method": {"type": "Full", "lora": {}}}, "is of methods LoRA and QLoRA: write one of them"),
    ({"spec.method": {"type": "LoRA", "rank": 8}}, 'unknown field "spec.method.rank"'),
    ({"spec.method": {"type": "LoRA", "lora": {"rank": 0}}}, "should be greater than or equal to 1"),
    ({"spec.method": {"type": "LoRA", "lora": {"rank": 1024}}}, "should be less than or equal to 512"),
    ({"spec.method": {"type": "LoRA", "lora": {"rank": "16"}}}, "write a whole number, without quotes"),
    ({"spec.method": {"type": "LoRA", "lora": {"alpha": 0}}}, "should be greater than or equal to 1"),
    ({"spec.method": {"type": "LoRA", "lora": {"alpha": 0.5}}}, "must be of type integer"),
    ({"spec.method": {"type": "LoRA", "lora": {"dropout": "1"}}}, 'must be below 1, for example "0.05"'),
    ({"spec.method": {"type": "LoRA", "lora": {"dropout": 0.05}}}, "write the number in quotes"),
    ({"spec.method": {"type": "LoRA", "lora": {"dropout": "some"}}}, "write a quoted decimal"),
    ({"spec.method": {"type": "LoRA", "lora": {"targets": "Attention"}}}, "write a list, each entry with a dash"),
    ({"spec.method": {"type": "LoRA", "lora": {"targets": []}}}, "should have at least 1 items"),
    ({"spec.method": {"type": "LoRA", "lora": {"targets": ["q proj"]}}}, "should match"),
    (
        {"spec.method": {"type": "LoRA", "lora": {"targets": ["Attention", "Attention"]}}},
        'spec.method.lora.targets[1]: Duplicate value: "Attention"',
    ),
    (
        {"spec.method": {"type": "LoRA", "lora": {"targets": ["Experts"], "dropout": "0.1"}}},
        "leave it out, or Experts out of method.lora.targets",
    ),
    ({"spec.method": {"type": "LoRA", "lora": {"export": "GGUF"}}}, 'supported values: "Merged", "Adapter"'),
    ({"spec.method": {"type": "LoRA", "lora": {"useDora": True}}}, 'unknown field "spec.method.lora.useDora"'),
    ({"spec.objective": "DPO"}, "write trainer.type llama-factory, ms-swift, deepspeed or custom"),
    ({"spec.objective": "GRPO"}, "write trainer.type ms-swift, deepspeed or custom, the latter two with a program"),
    ({"spec.objective": "Distill", **_swift("torchtitan")}, "write trainer.type ms-swift, deepspeed or custom"),
    ({"spec.objective": "PPO"}, 'supported values: "SFT", "Pretrain", "DPO", "GRPO", "Distill"'),
    ({"spec.objective": "pretraining"}, 'supported values: "SFT", "Pretrain"'),
    ({"spec.objective": "DPO", **_swift()}, 'whose lines are {"prompt": …, "chosen": …, "rejected": …}'),
    (_learnt("SFT", "Preference"), "write objective: DPO, with trainer.type llama-factory, ms-swift"),
    (_learnt("GRPO", "Preference"), "format Preference is for objective DPO"),
    (_learnt("GRPO", "Text"), "write format: PromptCompletion or Messages in each of datasets"),
    (_learnt("Distill", "Alpaca"), "write format: PromptCompletion or Messages in each of datasets"),
    ({**_learnt("DPO", "Preference"), "spec.lossOn": "Completion"}, "is their own: leave lossOn out"),
    (_learnt("DPO", "preference"), 'supported values: "PromptCompletion"'),
    ({**_learnt("DPO", "Preference"), "spec.hyperparameters.beta": "0.1"}, 'unknown field "spec.hyperparameters.beta"'),
    ({**_learnt("DPO", "Preference"), "spec.rewards": ["accuracy"]}, 'unknown field "spec.rewards"'),
    ({"spec.objective": "Pretrain"}, "write format: Text in each of datasets, or objective: SFT"),
    (
        {"spec.objective": "Pretrain", **_texts(), "spec.method": {"type": "LoRA"}, **BASE},
        "write method.type Full, or objective: SFT, which learns texts as well",
    ),
    ({"spec.objective": "Pretrain", **_texts(), "spec.lossOn": "All"}, "a text is learnt throughout: leave lossOn out"),
    ({"spec.objective": "Pretrain", **_texts(), "spec.chatTemplate": {"name": "DeepSeek"}}, "or leave it out"),
    (
        {"spec.trainer": {"type": "torchtitan"}},
        "objective SFT is not done by this trainer.type: write trainer.type builtin, llama-factory",
    ),
    ({"spec.trainer": {"type": "megatron-bridge"}}, "ms-swift, deepspeed or custom"),
    (
        {**BASE, "spec.method": {"type": "PromptTuning", "prompt": {"encoderHiddenSize": 8}}},
        "leave it out, or write it as",
    ),
    ({**BASE, "spec.model": {**BASE["spec.model"], "name": "DeepSeek R1"}}, "write a name of letters, digits"),
    ({"spec.model": {"fromTraining": {"name": "first", "checkpoint": "Newest"}}}, 'a quoted step such as "200"'),
    ({f"{HYPER}.activationRecomputation": True}, "write one of its words, in quotes"),
    ({f"{HYPER}.crossEntropy": "Fused"}, 'supported values: "Whole", "Chunked"'),
    ({f"{HYPER}.schedule": "cosine"}, 'supported values: "Constant", "Linear", "Cosine"'),
    ({f"{HYPER}.globalBatchSize": 0}, "should be greater than or equal to 1"),
    ({f"{HYPER}.microBatchSize": "auto"}, "write a whole number, without quotes"),
    ({f"{HYPER}.sequenceLength": 1}, "should be greater than or equal to 8"),
    ({f"{HYPER}.gradientClipNorm": 1.5}, "write the number in quotes"),
    ({f"{HYPER}.seed": -1}, "should be greater than or equal to 0"),
    ({"spec.checkpoints.keepLast": 0}, "should be greater than or equal to 1"),
    ({"spec.checkpoints.volume": {"storageClassName": "Fast SSD"}}, "write a name of a-z, 0-9"),
    ({"spec.checkpoints.resume": {"from": {"training": "a", "checkpoint": "newest"}}}, 'a quoted step such as "200"'),
    ({"spec.failurePolicy.nodeLostSeconds": 5}, "should be greater than or equal to 30"),
    ({"spec.failurePolicy.startTimeoutSeconds": "30m"}, "write a whole number of seconds, without quotes"),
    (_mlflow(credentials={"name": "s"}), 'unknown field "spec.tracking.mlflow.credentials.name"'),
    (_mlflow(credentials="Secret_1"), "write a name of a-z, 0-9"),
    (_mlflow(registeredModel="a/b"), "of at most 250 characters without '/' and ':'"),
    (_pod(fsGroup="4000"), "write a whole number, without quotes"),
    (_pod(priorityClassName="High Priority"), "write a name of a-z, 0-9"),
    (_pod(terminationGracePeriodSeconds="2m"), "write a whole number of seconds, without quotes"),
    (_pod(tolerations=[{"key": "gpu", "effect": "noSchedule"}]), 'supported values: "NoSchedule"'),
    (_pod(tolerations=[{"key": "a b"}]), "write a label key"),
    (_pod(tolerations=[{"key": "gpu", "value": 5}]), "must be of type string"),
    ({"spec.accelerator": "h100"}, "write accelerator: {profile: nvidia-h200-141}"),
    ({"spec.accelerator": {"profile": "nvidia-h100-80", "count": 8}}, 'unknown field "spec.accelerator.count"'),
    ({"spec.accelerator": {"profile": "nvidia-h100-80", "pernode": 8}}, "did you mean perNode?"),
    ({f"{RUNTIME}.resources": {"nvidia.com/gpu": 8}}, 'unknown field "spec.trainer.resources.nvidia.com/gpu"'),
    ({f"{RUNTIME}.resources": {"limits": {"cpu": 1}}}, 'unknown field "spec.trainer.resources.limits"'),
    ({f"{RUNTIME}.resources": {"memory": "lots"}}, "write a quantity, for example 64Gi"),
    ({f"{RUNTIME}.resources": {"cpu": 0.5}}, "write the number in quotes"),
    ({f"{RUNTIME}.env": {"A": "b"}}, "write a list, each entry with a dash before it"),
    ({"spec.datasets": "pvc://corpora/a.jsonl"}, "write a list, each entry with a dash before it"),
    ({"spec.datasets": ["pvc://corpora/a.jsonl"]}, "must be of type object"),
    ({"spec.datasets": [{"uri": "pvc://corpora/a.jsonl"}]}, 'unknown field "spec.datasets[0].uri"'),
    ({"spec.datasets": [{"source": {"uri": "/data/a.jsonl"}}]}, "write pvc://<claim>/<file>"),
    ({"spec.datasets": [{"source": {"uri": "pvc://corpora"}}]}, "or a folder or pattern in its place"),
    ({"spec.datasets": [{"source": {"uri": "pvc://corpora/[ab].jsonl"}}]}, "for example pvc://corpora/a.jsonl"),
    (_pinned("pvc://corpora/a.jsonl"), "write datasets.source.dvc.file (a .dvc file beside the data)"),
    (_pinned("builtin://uppercase", md5="0" * 32), "dvc is of a file or a folder that dvc add was given"),
    (_pinned("pvc://corpora/*.jsonl", md5="0" * 32), "dvc is of a file or a folder that dvc add was given"),
    (_pinned("pvc://corpora/a.jsonl", md5="HEAD"), "should match"),
    (_pinned("pvc://corpora/a.jsonl", file="../a.dvc"), "write the path from the root of the claim"),
    (_pinned("pvc://corpora/a.jsonl", rev="v1"), 'unknown field "spec.datasets[0].source.dvc.rev"'),
    (
        _fetched("hf://datasets/openai/gsm8k", claimName="corpora"),
        "hf://datasets/<organisation>/<dataset>@<branch, tag or",
    ),
    (_fetched("hf://openai/gsm8k@main", claimName="corpora"), "hf://datasets/<organisation>/<dataset>@<branch, tag or"),
    (_fetched("s3://corpora", claimName="corpora"), "s3://<bucket>/<the same>"),
    (_fetched("https://example.com/*.jsonl", claimName="corpora"), "or https://<host>/<file, or folder/>"),
    (_fetched("https://u:p@example.com/a.jsonl", claimName="corpora"), "or https://<host>/<file, or folder/>"),
    (_fetched("https://example.com/a.jsonl?key=s", claimName="corpora"), "or https://<host>/<file, or folder/>"),
    (_fetched("https://example.com/a.jsonl"), "data that is fetched (hf://, s3://, https://) needs claimName"),
    (_fetched("hf://datasets/openai/gsm8k@main"), "data that is fetched (hf://, s3://, https://) needs claimName"),
    (
        _fetched("s3://corpora/a.jsonl", credentials="keys"),
        "data that is fetched (hf://, s3://, https://) needs claimName",
    ),
    (
        _fetched("pvc://corpora/a.jsonl", claimName="other"),
        "data that is there (pvc://, image://, builtin://) has none",
    ),
    (
        _fetched("builtin://uppercase", digest=f"sha256:{'0' * 64}"),
        "data that is there (pvc://, image://, builtin://) has none",
    ),
    (_fetched("s3://corpora/a.jsonl", claimName="c", dvc={"md5": "0" * 32}), "of what is fetched write source.digest"),
    ({"spec.data": {"deduplicate": True}}, "write one of its words, in quotes where YAML"),
    ({"spec.data": {"deduplicate": "Exact", "nearSimilarity": "0.9"}}, "write data.deduplicate Near beside it"),
    ({"spec.data": {"deduplicate": "Near", "nearSimilarity": "0.1"}}, "must be from 0.5 to 1"),
    ({"spec.data": {"nearSimilarity": 0.9}}, "write the number in quotes"),
    ({"spec.data": {"minTokens": 9, "maxTokens": 8}}, "write them the other way round"),
    ({"spec.data": {"languages": ["EN"]}}, "should match"),
    ({"spec.data": {"languages": "en"}}, "write a list, each entry with a dash"),
    ({"spec.data": {"languages": ["en", "en"]}}, "Duplicate value"),
    ({"spec.data": {"minLetters": "50"}}, "data.minLetters must be at most 1"),
    ({"spec.data": {"maxRepetition": "30%"}}, "write a quoted decimal"),
    ({"spec.data": {"decontaminateWords": 13}}, "write a dataset with split Heldout, or leave it out"),
    ({"spec.data": {"packing": True}}, "must be of type string"),
    ({"spec.data": {"dedup": "Near"}}, 'unknown field "spec.data.dedup"'),
    ({"spec.data": {"normalize": "utf8"}}, 'supported values: "NFC", "NFKC"'),
    ({"spec.data": {}, "spec.trainer": {"type": "custom", "command": ["train"]}}, "have the datasets prepared before"),
    ({f"{HYPER}.learningRate": 0.001}, "write the number in quotes"),
    ({f"{HYPER}.learningRate": "fast"}, "write a quoted decimal"),
    ({f"{HYPER}.maxSteps": "100"}, "write a whole number, without quotes"),
    ({f"{HYPER}.maxSteps": 1.5}, "must be of type integer"),
    ({f"{HYPER}.maxsteps": 100}, "did you mean maxSteps?"),
    ({f"{HYPER}.precision": "fp16"}, 'supported values: "fp32", "bf16"'),
    ({"spec.suspend": "true"}, "write true or false, without quotes"),
    ({"spec.checkpoints": {"volume": "checkpoints"}}, "write volume: {claimName: checkpoints}"),
    ({"spec.checkpoints": {"resume": {"from": "first"}}}, "write from: {training: first}"),
    ({"spec.checkpoints": {"everySteps": None}}, None),
    ({"spec.failurePolicy": {"backoffLimit": 3}}, 'unknown field "spec.failurePolicy.backoffLimit"'),
    ({"spec.workers": 2}, 'unknown field "spec.workers"'),
    ({"spec": None}, "spec: Required value"),
    ({"spec": []}, "must be of type object"),
    ({"metadata.name": "My_Model"}, "a lowercase RFC 1123 subdomain"),
    ({"metadata.name": "deepseek-r1-distill-qwen-1.5b"}, "at most 40 characters of a-z, 0-9 and '-'"),
    ({"metadata.name": None}, "name or generateName is required"),
)
ROUTED = {"parentRef": {"name": "public"}}
SERVINGS: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({ENGINE: "vllm"}, "write engine: {type: vllm}"),
    ({f"{ENGINE}.options": {"maxSequences": 64}}, "options are for engine.type"),
    (_by_vllm({"options": {"memoryShare": 0.9}}), None),
    (_by_vllm({"options": {"memoryShare": "90%"}}), "write a part of the device in quotes"),
    (_by_vllm({"options": {"memoryShare": "1.0"}}), "write a part of the device in quotes"),
    (_by_vllm({"options": {"toolParser": "DeepSeek R1"}}), "by which the engine's release knows the parser"),
    (_by_vllm({"options": {"cpuOffloadGiB": "16Gi"}}), None),
    (_by_vllm({"options": {"speculativeTokens": 0}}), None),
    (_by_vllm({"maxConcurrency": 64}), "write limits as engine.options"),
    ({f"{ENGINE}.apiKey": "sk-literal"}, None),
    ({f"{ENGINE}.apiKey": {"name": "chat-key"}}, "Required value"),
    ({f"{ENGINE}.apiKey": {"name": "other/chat-key", "key": "key"}}, "write a name of a-z, 0-9"),
    ({f"{ENGINE}.watchdog": True}, None),
    ({f"{ENGINE}.watchdog": {"stallSeconds": 5}}, "30"),
    ({f"{ENGINE}.watchdog": {"stallSeconds": "5m"}}, None),
    ({ENGINE: {"type": "custom", "image": "e:1", "watchdog": {}}}, "write that as engine.command"),
    ({"spec.model": "deepseek-r1"}, "write model: {name: deepseek-r1"),
    ({"spec.model": {"name": "deepseek-r1"}}, "write exactly one of model.source"),
    ({"spec.model": {"source": "pvc://models/v2"}}, "write source: {uri:"),
    ({"spec.model": {"source": {"uri": "hf://deepseek-ai/DeepSeek-R1"}}}, "write pvc://<claim of this namespace>"),
    ({"spec.adapters": "legal"}, "write a list, each entry with a dash"),
    ({"spec.adapters": ["legal"]}, None),
    ({"spec.adapters": [{"name": "legal"}]}, "write exactly one of source"),
    ({"spec.adapters": [{"name": "legal", "fromTraining": "legal"}]}, None),
    ({"spec.adapters": [{"name": "legal", "source": "pvc://models/legal"}]}, "must be of type object"),
    ({"spec.adapters": [{"name": "a b", "source": {"uri": "pvc://models/a"}}]}, "write a name of letters"),
    (
        {"spec.adapters": [{"name": "a", "source": {"uri": "pvc://models/a"}, "fromTraining": {"name": "a"}}]},
        "write exactly one of source",
    ),
    (
        {"spec.adapters": [{"name": "a", "source": {"uri": "hf://a/b@main"}}]},
        "a source that is fetched needs claimName",
    ),
    ({"spec.adapters": [{"name": "a", "source": {"uri": "hf://a/b", "claimName": "c"}}]}, "@<branch, tag or commit>"),
    (
        {"spec.adapters": [{"name": "a", "source": {"uri": "pvc://models/a", "credentials": "hub"}}]},
        "a folder of a claim (pvc://) has none of them",
    ),
    ({"spec.adapters": [{"name": "a", "fromTraining": {"name": "a"}, "rank": 8}]}, "is read off its method.lora"),
    (
        {"spec.adapters": [{"name": "a", "source": {"uri": "pvc://models/a"}, "rank": 1024}]},
        "less than or equal to 512",
    ),
    (
        {
            "spec.adapters": [
                {"name": "a", "source": {"uri": "pvc://m/a"}},
                {"name": "a", "source": {"uri": "pvc://m/b"}},
            ]
        },
        "Duplicate value",
    ),
    (
        {
            "spec.model": {"name": "legal", "source": {"uri": "pvc://models/v2"}},
            "spec.adapters": [{"name": "legal", "source": {"uri": "pvc://models/legal"}}],
        },
        "one of adapters has the name of the model: write another",
    ),
    ({"spec.gateway": "public"}, "must be of type object"),
    ({"spec.gateway": {"parentRef": "public"}}, "must be of type object"),
    ({"spec.gateway": {"hostnames": ["chat.example.com"]}}, "Required value"),
    ({"spec.gateway": {**ROUTED, "hostnames": "chat.example.com"}}, "write a list, each entry with a dash before it"),
    ({"spec.gateway": {**ROUTED, "hostnames": ["https://chat.example.com"]}}, "without scheme, port and path"),
    ({"spec.gateway": {**ROUTED, "hostnames": ["Chat.example.com"]}}, "host names in small letters"),
    ({"spec.gateway": {"parentRef": {"name": "infra/public"}}}, "write the name of a Gateway"),
    ({"spec.gateway": {**ROUTED, "retries": -1}}, "greater than or equal to 0"),
    ({"spec.gateway": {**ROUTED, "retries": {"attempts": 2}}}, "spec.gateway.retries"),
    ({"spec.gateway": {**ROUTED, "limits": {"maxBodySize": "32MB"}}}, "write a whole number of bytes, Ki or Mi"),
    ({"spec.gateway": {**ROUTED, "limits": {"maxBodySize": "0Mi"}}}, "write a whole number of bytes, Ki or Mi"),
    ({"spec.gateway": {**ROUTED, "limits": {"requestsPerMinute": 0}}}, "greater than or equal to 1"),
    ({"spec.gateway": {**ROUTED, "limits": {"concurrency": 0}}}, "greater than or equal to 1"),
    (
        {"spec.gateway": {**ROUTED, "grpc": {}}},
        "gateway.grpc is for engines that answer gRPC: write engine.type triton",
    ),
    ({"spec.gateway": {**ROUTED, "grpc": True}}, "must be of type object"),
    ({"spec.gateway": {**ROUTED, "grpc": {"hostnames": ["Grpc.example.com"]}}}, "host names in small letters"),
    ({"spec.gateway": {**ROUTED, "grpc": {"port": 8001}}}, 'unknown field "spec.gateway.grpc.port"'),
    (
        {"spec.gateway": {**ROUTED, "auth": {"apiKeys": True}, "limits": {"tokensPerMinute": 9}, "grpc": {}}},
        "write requestsPerMinute in its place, or leave out grpc",
    ),
    ({"spec.gateway": {**ROUTED, "limits": {"tokensPerMinute": 1000}}}, "write auth: {apiKeys: true} beside limits"),
    (_metered(0), "greater than or equal to 1"),
    (_metered("100k"), "write a whole number, without quotes"),
    (_metered(10**9 + 1), "less than or equal to 1000000000"),
    ({"spec.gateway": {**ROUTED, "auth": {}}}, "write apiKeys: true, jwt, or both; leave auth out to let everybody in"),
    ({"spec.gateway": {**ROUTED, "auth": {"apiKeys": False}}}, "gateway.auth lets nobody in as it is"),
    ({"spec.gateway": {**ROUTED, "auth": True}}, "must be of type object"),
    ({"spec.gateway": {**ROUTED, "auth": {"apiKeys": ["sk-ds-1"]}}}, "spec.gateway.auth.apiKeys"),
    ({"spec.gateway": {**ROUTED, "auth": {"apiKeys": {"configMapName": "keys"}}}}, "spec.gateway.auth.apiKeys"),
    ({"spec.gateway": {**ROUTED, "auth": {"oidc": {"issuer": "https://a"}}}}, 'unknown field "spec.gateway.auth.oidc"'),
    (_cached(), "Required value"),
    (_cached(is_judged=False, image="nginx"), "write auth: {apiKeys: true} beside it, or leave out cache"),
    (_cached(image="nginx", ttlSeconds=0), "greater than or equal to 1"),
    (_cached(image="nginx", ttlSeconds="1h"), "write a whole number of seconds, without quotes"),
    (_cached(image="nginx", maxSize="1G"), "write a whole number of Mi or Gi"),
    (_cached(image="nginx", maxSize=256), "must be of type string"),
    (_cached(image="https://nginx"), "write an image as"),
    (_cached(image="nginx", methods=["GET"]), 'unknown field "spec.gateway.cache.methods"'),
    ({"spec.gateway": {**ROUTED, "auth": {"apiKeys": True}, "cache": True}}, "must be of type object"),
    (_tokens(issuer=None), "Required value"),
    (_tokens(audiences=None), "Required value"),
    (_tokens(audiences=[]), "at least 1 items"),
    (_tokens(audiences="deepseek"), "write a list, each entry with a dash before it"),
    (_tokens(issuer="my issuer"), "write the claim iss of the tokens"),
    (_tokens(jwks={}), "write exactly one of uri"),
    (_tokens(jwks={"uri": "https://a.example.com/keys", "configMapName": "keys"}), "write exactly one of uri"),
    (_tokens(jwks={"uri": "http://a.example.com/keys"}), "write an address by https"),
    (_tokens(jwks={"uri": "https://169.254.169.254/keys"}), "with the provider's name as host"),
    (_tokens(jwks={"uri": "https://a.example.com@b.example.com/keys"}), "with the provider's name as host"),
    (_tokens(jwks={"configMapName": "keys", "backendName": "login"}), "write uri beside it, or leave it out"),
    (_tokens(jwks={"uri": "https://a.example.com/keys", "backendName": "Login"}), "write the name of a Backend"),
    (_tokens(jwks={"configMapName": "Token_Keys"}), "write the name of a ConfigMap"),
    (_tokens(scopes=["deepseek:*"]), 'unknown field "spec.gateway.auth.jwt.scopes"'),
    ({"spec.gateway": {**ROUTED, "timeouts": {"request": "60s"}}}, 'unknown field "spec.gateway.timeouts.request"'),
    ({"spec.replicas": "2"}, "write a whole number, without quotes"),
    ({"spec.nodes": {"count": 2}}, "the builtin engine runs on one device: write nodes.count: 1, or engine.type vllm"),
    ({"spec.nodes": {"count": 0}}, "greater than or equal to 1"),
    ({"spec.nodes": {"count": 65}}, "less than or equal to 64"),
    ({"spec.nodes": {"count": "2"}}, "write a whole number, without quotes"),
    ({"spec.nodes": 2}, "must be of type object"),
    ({"spec.nodes": {"number": 2}}, 'unknown field "spec.nodes.number"'),
    ({"spec.replica": 2}, "did you mean replicas?"),
    (_judged({"type": "ErrorRate"}), "write exactly one of max, min, maxIncreasePercent and maxDrop"),
    (_compared(), "write exactly one of match.header and match.percent"),
    (
        _compared(percent=20, header={"name": "x-a", "value": "b"}),
        "write exactly one of match.header and match.percent",
    ),
    (_compared(percent=100), "less than or equal to 99"),
    (_compared(percent="20%"), "write a whole number"),
    (_compared(percent=20, weight=20), "write replicas of each step in place of weight"),
    (_compared(header={"name": "x-variant", "value": "new"}), "write gateway.parentRef too, or match.percent"),
    (_compared(header={"name": "x variant", "value": "new"}), "for example x-variant"),
    (_compared(header={"name": "x-variant"}), "value"),
    (_compared(header={"name": "X-Deepseek-Client", "value": "new"}), "is the gate's own"),
    (_compared(header="x-variant=new"), "must be of type object"),
    (_compared(header={"name": "x-variant", "values": ["new"]}), "unknown field"),
    (_judged({"type": "Accuracy", "min": "0.9"}), "type Accuracy needs data, and min or maxDrop"),
    (_judged({"type": "Accuracy", "data": _HELD_OUT, "max": "0.9"}), "type Accuracy needs data, and min or maxDrop"),
    (
        _judged({"type": "Accuracy", "data": _HELD_OUT, "min": "0.9", "maxDrop": "0.1"}),
        "two limits of one thing are two",
    ),
    (_judged({"type": "Accuracy", "data": _HELD_OUT, "maxDrop": "2"}), "write a share below 1 in quotes"),
    (_judged({"type": "Accuracy", "data": "/heldout.jsonl", "min": "0.9"}), "should match"),
    (_judged({"type": "Accuracy", "data": "pvc://corpora/../other", "min": "0.9"}), "should match"),
    (_judged({"type": "Accuracy", "data": _HELD_OUT, "min": "0.9", "samples": 0}), "greater than or equal to 1"),
    (_judged({"type": "Latency", "max": "2", "data": _HELD_OUT}), "no other type has data, samples and maxDrop"),
    (_judged({"type": "ErrorRate", "maxDrop": "0.1"}), "no other type has data, samples and maxDrop"),
    (_judged({"type": "accuracy", "data": _HELD_OUT, "min": "0.9"}), "supported values"),
    (_judged({"type": "ErrorRate", "max": 0.01}), "write the number in quotes"),
    (_judged({"type": "ErrorRate", "max": "0.01", "quantile": "0.9"}), "quantile is for type Latency"),
    (_judged({"type": "Latency", "min": "2"}), "write max in place of min"),
    (_judged({"type": "Latency", "max": "2", "quantile": "99"}), "should match"),
    (_judged({"type": "LatencyP99", "max": "2"}), 'supported values: "ErrorRate", "Latency"'),
    (_judged({"type": "PromQL", "query": "up", "max": "2"}), "type PromQL needs query and name"),
    (_judged({"type": "Latency", "query": "up", "max": "2"}), "which no other type has"),
    (
        _judged({"type": "PromQL", "name": "Up", "query": "up", "maxIncreasePercent": 5}),
        "write $revision into the query",
    ),
    (_judged({"type": "ErrorRate", "max": "0.01"}, intervalSeconds=1), "greater than or equal to 10"),
    (_judged({"type": "ErrorRate", "max": "0.01"}, interval="1m"), "unknown field"),
    (_judged(), "should have at least 1 items"),
    ({"spec.rollout": {"strategy": "Canary"}}, 'supported values: "RollingUpdate", "Recreate"'),
    ({"spec.autoscaling": {"maxReplicas": 3, "signals": [{"type": "CPU", "target": 80}]}}, "supported values"),
    (
        {"spec.autoscaling": {"minReplicas": 0, "maxReplicas": 3, "signals": [{"target": 4}]}},
        "write gateway.auth, or minReplicas: 1",
    ),
    (
        {
            "spec.gateway": ROUTED,
            "spec.autoscaling": {"minReplicas": 0, "maxReplicas": 3, "signals": [{"target": 4}]},
        },
        "only requests that the gate lets in wake a serving",
    ),
    (
        {"spec.autoscaling": {"maxReplicas": 3, "signals": [{"target": 4}], "wake": {"idleSeconds": 900}}},
        "autoscaling.wake is for autoscaling.minReplicas: 0",
    ),
    (
        {"spec.autoscaling": {"maxReplicas": 3, "signals": [{"target": 4}], "wake": {"idleSeconds": 1}}},
        "greater than or equal to 30",
    ),
    (
        {"spec.autoscaling": {"maxReplicas": 3, "signals": [{"target": 4}], "wake": {"idle": "15m"}}},
        'unknown field "spec.autoscaling.wake.idle"',
    ),
    ({"spec.autoscaling": {"max": 3}}, 'unknown field "spec.autoscaling.max"'),
    ({"spec.accelerator": {"gpu": 8}}, 'unknown field "spec.accelerator.gpu"'),
    ({ENGINE: {"type": "tgi"}}, "supported values"),
    ({ENGINE: {"args": "--fast"}}, "write a list, each entry with a dash before it"),
    ({"spec.pod": {"nodeSelector": {"gpu": True}}}, "must be of type string"),
    ({"spec.pod": {"nodeSelector": "gpu"}}, "must be of type object"),
)

MISTAKES: tuple[tuple[Object, dict[str, Any], str | None], ...] = (
    *((minimal_training(), changes, words) for changes, words in TRAININGS),
    *((minimal_serving(), changes, words) for changes, words in SERVINGS),
)
