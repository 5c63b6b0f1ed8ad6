"""In which storage format a ``quantization_config`` keeps the weights: by bits and type, since methods have several.

``gptq`` of 8 bits weighs twice that of 4; compressed-tensors, ModelOpt and Quark name their numbers in groups. The answer
is a key of ``weights.FORMATS``, whose bytes per parameter include the scales of the usual groups.
"""

from collections.abc import Mapping

Json = object

_BY_NAME = {
    "fp8": "fp8", "fbgemm_fp8": "fp8", "fp8_e4m3": "fp8", "float8": "fp8", "nvfp4": "nvfp4", "modelopt_fp4": "nvfp4",
    "mxfp4": "mxfp4", "w8a8_int8": "int8", "w8a8_fp8": "fp8", "int8": "int8", "w4a8": "w4a8", "w4afp8": "w4a8",
    "w4a8_awq": "w4a8", "int4_awq": "awq", "w4a16_awq": "awq", "int8_sq": "int8", "w8a16": "int8", "int4": "gptq", "uint4": "gptq",
    "uint8": "int8", "fp4": "mxfp4",
}  # fmt: skip
_PACKED = ("awq", "gptq", "auto-round", "auto_round", "autoround", "gptq_marlin", "awq_marlin", "intel/auto-round")


def stored_format(config: Mapping[str, Json]) -> str | None:
    """Return the format that a ``quantization_config`` describes; None where nothing says which.

    An empty mapping is no quantization: the caller decides by ``torch_dtype``.
    """
    method = _word(config.get("quant_method"))
    if method in _PACKED:
        return _packed(method, config.get("bits", config.get("w_bit", 4)))
    if method in ("bitsandbytes", "bnb"):
        return "int8" if config.get("load_in_8bit") is True else "nf4" if config.get("load_in_4bit") is True else None
    weights = _weights(config)
    if weights is not None:
        return _numbers(weights, _inputs(config))
    for key in ("quant_algo", "quant_method"):
        if (found := _BY_NAME.get(_word(config.get(key)))) is not None:
            return found
    inner = config.get("quantization")
    return stored_format(inner) if isinstance(inner, Mapping) else None


def _packed(method: str, bits: Json) -> str | None:
    if bits == 8:
        return "int8"
    return ("awq" if method.startswith("awq") else "gptq") if bits == 4 else None


def _weights(config: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """How weights are kept: of the first group (compressed-tensors, ModelOpt), or of all layers (Quark)."""
    group = _group(config)
    found = group.get("weights", group.get("weight"))
    return found if isinstance(found, Mapping) else None


def _inputs(config: Mapping[str, Json]) -> Mapping[str, Json] | None:
    group = _group(config)
    found = group.get("input_activations", group.get("input_tensors"))
    return found if isinstance(found, Mapping) else None


def _group(config: Mapping[str, Json]) -> Mapping[str, Json]:
    groups, whole = config.get("config_groups"), config.get("global_quant_config")
    if isinstance(groups, Mapping) and groups:
        first = groups[sorted(groups)[0]]
        return first if isinstance(first, Mapping) else {}
    return whole if isinstance(whole, Mapping) else {}


def _numbers(weights: Mapping[str, Json], inputs: Mapping[str, Json] | None) -> str | None:
    if "num_bits" not in weights:
        return _BY_NAME.get(_word(weights.get("dtype")))
    is_float = _word(weights.get("type", "int")) == "float"
    match weights.get("num_bits"):
        case 8:
            return "fp8" if is_float else "int8"
        case 4 if is_float:
            return "mxfp4" if weights.get("group_size") == 32 else "nvfp4"
        case 4:
            return "w4a8" if inputs is not None and inputs.get("num_bits") == 8 else "gptq"
        case _:
            return None


def _word(value: Json) -> str:
    return value.casefold() if isinstance(value, str) else ""
