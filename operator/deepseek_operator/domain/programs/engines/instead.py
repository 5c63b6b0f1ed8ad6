"""What to write instead of a flag or variable by which an engine would overrule the operator: the words that engines share."""

from deepseek_operator.domain.programs.arguments import Owned
from deepseek_operator.domain.programs.engines.request import PORT

ADDRESS = f"leave it out: probes, metrics and the Service use port {PORT} of the pod"
PLAIN = "leave it out: probes and metrics speak plain HTTP to the pod; TLS belongs to the gateway in front"
KEY = (
    "leave the key out, since whoever may read the resource could read it: give a variable from a Secret, or let the "
    "gateway in front check keys"
)
API_KEY = (
    "leave the key out, since whoever may read the resource could read it: write engine.apiKey, which names a Secret"
)
NAME = "write model.name, and names for clients as gateway.models"
MODEL = "write model.source or model.fromTraining, which lie at /model with their tokenizer"
LENGTH = "write engine.maxModelLength"
CACHE = "write engine.kvCacheDtype"
FORMAT = "write model.quantization, by which the weights are counted"
TYPE = "write model.quantization: bf16 or fp16 (32-bit weights are not what was counted)"
TENSOR = "write parallelism.tensor"
PIPELINE = "write parallelism.pipeline"
DATA = "write parallelism.data"
EXPERT = "leave it out: how experts lie on the devices follows from parallelism.tensor and parallelism.data"
NODES = "write nodes.count: ranks and the leader's address follow from it"
DRAIN = "write pod.terminationGracePeriodSeconds"
METRICS = "leave it out: scaling and dashboards read the engine's metrics, which are always on"
FILE = "write its lines as engine.args: flags in a file can't be checked"
ADAPTERS = "write adapters, which are mounted, checked against the model and kept with the revision"
SLOTS = "leave it out: the cache gets what the weights leave"
DEVICES = "write accelerator.perNode: the pod sees the devices that it was given"

DEVICE_VARIABLES = (
    Owned(
        (
            "CUDA_VISIBLE_DEVICES",
            "NVIDIA_VISIBLE_DEVICES",
            "HIP_VISIBLE_DEVICES",
            "ROCR_VISIBLE_DEVICES",
            "ASCEND_RT_VISIBLE_DEVICES",
            "HABANA_VISIBLE_DEVICES",
            "HABANA_VISIBLE_MODULES",
            "ZE_AFFINITY_MASK",
        ),
        DEVICES,
    ),
    Owned(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "write parallelism: ranks follow from the layout"),
)
