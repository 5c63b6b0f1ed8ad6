"""What a model is made of: attention, experts, widths and depth. Read from a Hugging Face ``config.json``.

The catalogue stores the same fields, so a private model and a published one take one road. Counting the parameters
is in ``parameters``, what they weigh in ``weights``, what they remember per token in ``kv_cache``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_operator.domain.models.quantization import stored_format

Json = object
"""Any value that ``json.loads`` returns."""


class UnknownArchitecture(ValueError):
    """A config.json lacks, or contradicts, what sizing must know; the message names the field."""


@dataclass(frozen=True)
class Indexer:
    """The small attention that picks the keys of sparse attention (DeepSeek-V3.2 report, section 2)."""

    heads: int
    head_dim: int
    top_k: int


@dataclass(frozen=True)
class GroupedQueryAttention:
    """Queries of ``heads``, keys and values of ``kv_heads`` heads; multi-head attention where the two are equal."""

    heads: int
    kv_heads: int
    head_dim: int
    qkv_bias: bool = False


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, 2.1): one latent vector per token serves all heads.

    ``query_rank`` is None where queries are projected in one step (V2-Lite).
    """

    heads: int
    latent_rank: int
    query_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int
    indexer: Indexer | None = None


@dataclass(frozen=True)
class LowRankAttention:
    """What V4's and V4.1's attention share: one key-value head of ``head_dim``, a sliding ``window``, queries of low
    rank, and an output projection of low rank in ``output_groups`` groups. Older tokens are compressed, and chosen
    by the indexer."""

    heads: int
    head_dim: int
    rope_dim: int
    query_rank: int
    output_rank: int
    output_groups: int
    window: int
    indexer: Indexer


@dataclass(frozen=True)
class CompressedAttention(LowRankAttention):
    """V4's hybrid: one compressed entry per ``ratios[layer]`` tokens (0: the window alone).

    Layers of ratio 4 choose their entries with the indexer. ``paging`` is what vLLM's pool was measured to take over
    what the entries weigh, for weights that were measured apart; None: as V4-Flash's preview.
    """

    ratios: tuple[int, ...]
    paging: float | None = None


@dataclass(frozen=True)
class SharedCompressedAttention(LowRankAttention):
    """V4.1's form: only ``source_layers`` compress, the layers above read their entries.

    ``global_bytes_per_token`` is the published size of those entries over all sources (model card, 890 B).
    """

    source_layers: tuple[int, ...]
    index_layers: tuple[int, ...]
    global_bytes_per_token: int


Attention = GroupedQueryAttention | LatentAttention | CompressedAttention | SharedCompressedAttention


@dataclass(frozen=True)
class MixtureOfExperts:
    """Routed experts of width ``width``, ``active`` of them per token, beside ``shared`` ones that all tokens pass."""

    routed: int
    active: int
    shared: int
    width: int
    first_dense_layers: int


@dataclass(frozen=True)
class Architecture:
    """One model's shape. ``context`` is in tokens; ``native_format`` is how its published weights are stored.

    ``dense_width`` is the feed-forward width of layers without experts. ``weight_block`` is the side of the square
    blocks that share one FP8 scale: no tensor shard may cut one. ``streams`` is V4's number of residual streams
    (1: a plain residual). ``extra_parameters`` are stored outside the decoder (n-gram tables, vision tower);
    ``extra_bytes_each`` is what one of them weighs. ``prediction_layers`` are MTP layers for speculation, absent from
    the published parameter count, with ``prediction_experts`` experts each.
    """

    layers: int
    hidden: int
    vocabulary: int
    context: int
    attention: Attention
    dense_width: int
    experts: MixtureOfExperts | None = None
    tied_embeddings: bool = False
    native_format: str = "bf16"
    weight_block: int | None = None
    streams: int = 1
    prediction_layers: int = 0
    prediction_experts: int = 0
    extra_parameters: int = 0
    extra_bytes_each: float = 2.0

    @property
    def replicates_kv(self) -> bool:
        """Whether every tensor rank must hold the whole KV cache (one latent or one head for all)."""
        return not isinstance(self.attention, GroupedQueryAttention)

    def is_sparse(self, layer: int) -> bool:
        """Whether this decoder layer routes tokens to experts."""
        return self.experts is not None and layer >= self.experts.first_dense_layers


FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3",
    "deepseek", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "deepseek_v41",
)  # fmt: skip
"""The ``model_type`` of every family whose fields are understood. Another one may name its experts otherwise, and would
be taken for a dense model of a fraction of its size."""
SHAPE_FIELDS = frozenset(
    {
        "architectures", "attention_bias", "compress_ratios", "dspark_n_routed_experts", "dtype", "engram_head_dim",
        "engram_num_embeddings", "expert_dtype", "first_k_dense_replace", "global_kv_bytes_per_token", "hc_mult",
        "head_dim", "hidden_size", "index_head_dim", "index_n_heads", "index_source_layer_ids", "index_topk",
        "intermediate_size", "kv_lora_rank", "kv_source_layer_ids", "max_position_embeddings", "model_type",
        "moe_intermediate_size", "moe_layer_freq", "n_routed_experts", "n_shared_experts", "num_attention_heads",
        "num_experts", "num_experts_per_tok", "num_hidden_layers", "num_key_value_heads", "num_local_experts",
        "num_nextn_predict_layers", "o_groups", "o_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
        "quantization_config", "sliding_window", "tie_word_embeddings", "torch_dtype", "v_head_dim", "vocab_size",
    }
)  # fmt: skip
"""Fields of a config.json that sizing reads, and ``architectures``, by which an engine chooses the model's code."""
MOST_LAYERS, MOST_EXPERTS, MOST_PARAMETERS = 512, 4096, 16_000_000_000_000
"""Five and ten times the largest published model: what a stranger writes must not keep the arithmetic busy for minutes."""


def from_config_json(config: Mapping[str, Json], stored_as: str | None = None) -> Architecture:
    """Return the architecture that a Hugging Face ``config.json`` describes.

    ``stored_as`` is the format that the user names: it stands where nobody understands the file's ``quantization_config``.

    Understood are ``FAMILIES``, or a shape written by hand without ``model_type``, with the text part nested
    (``text_config``, ``language_config``) or not. Raises UnknownArchitecture, naming the field, when the family is
    another, or when a number that sizing needs is missing, not positive, or not divisible as the family demands.
    """
    fields = _Fields(_text_part(config))
    _check_family(fields)
    layers = fields.positive("num_hidden_layers")
    predicted = fields.number("num_nextn_predict_layers", 0)
    if max(layers, predicted) > MOST_LAYERS or fields.number("n_routed_experts", 0) > MOST_EXPERTS:
        raise UnknownArchitecture(
            f"config.json: more than {MOST_LAYERS} layers or {MOST_EXPERTS} experts are not sized"
        )
    quantization = _quantization(config)
    architecture = Architecture(
        layers=layers,
        hidden=fields.positive("hidden_size"),
        vocabulary=fields.positive("vocab_size"),
        context=fields.positive("max_position_embeddings"),
        attention=_attention(fields, layers),
        dense_width=_dense_width(fields),
        experts=_experts(fields, layers),
        tied_embeddings=fields.flag("tie_word_embeddings"),
        native_format=_native_format(fields, quantization, stored_as),
        weight_block=_weight_block(quantization),
        streams=fields.number("hc_mult", 1),
        prediction_layers=predicted,
        prediction_experts=fields.number("dspark_n_routed_experts", fields.number("n_routed_experts", 0)),
        extra_parameters=_engram_parameters(fields),
        extra_bytes_each=264 / 256,  # an n-gram row is 256 FP8 values and eight one-byte scales
    )
    _check_size(architecture)
    return architecture


def _check_size(architecture: Architecture) -> None:
    experts = architecture.experts
    width = experts.routed * experts.width if experts is not None else architecture.dense_width
    if 3 * architecture.layers * architecture.hidden * width > MOST_PARAMETERS:
        raise UnknownArchitecture(
            f"config.json: a model of more than {MOST_PARAMETERS / 1e9:,.0f}e9 parameters is not sized"
        )


def _check_family(fields: "_Fields") -> None:
    if fields.has("model_type") and fields.text("model_type") not in FAMILIES:
        raise UnknownArchitecture(
            f"config.json: model_type {fields.text('model_type')!r} is not one that sizing knows; write the one whose"
            f" fields it has: {', '.join(FAMILIES)}"
        )
    for name in ("num_experts", "num_local_experts"):
        if fields.has(name) and not fields.has("n_routed_experts"):
            raise UnknownArchitecture(f"config.json: experts are counted by n_routed_experts, not by {name}")
    if fields.number("moe_layer_freq", 1) != 1:
        raise UnknownArchitecture("config.json: moe_layer_freq other than 1 is not sized")


class _Fields:
    """Typed reading of one JSON object; every refusal names its field."""

    def __init__(self, values: Mapping[str, Json]) -> None:
        self._values = values

    @property
    def all(self) -> Mapping[str, Json]:
        return self._values

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def positive(self, name: str) -> int:
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 40:
            raise UnknownArchitecture(f"config.json: {name} must be a positive integer, not {value!r}")
        return value

    def number(self, name: str, default: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
            raise UnknownArchitecture(f"config.json: {name} must be an integer of at least 0, not {value!r}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UnknownArchitecture(f"config.json: {name} must be true or false, not {value!r}")
        return value

    def text(self, name: str) -> str:
        value = self._values.get(name)
        return value if isinstance(value, str) else ""

    def numbers(self, name: str) -> tuple[int, ...]:
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, Sequence) or not all(isinstance(item, int) and item >= 0 for item in value):
            raise UnknownArchitecture(f"config.json: {name} must be a list of integers")
        return tuple(value)


def _text_part(config: Mapping[str, Json]) -> Mapping[str, Json]:
    for name in ("text_config", "language_config"):
        nested = config.get(name)
        if isinstance(nested, Mapping):
            return nested
    return config


def _quantization(config: Mapping[str, Json]) -> _Fields:
    for part in (config, _text_part(config)):
        found = part.get("quantization_config")
        if isinstance(found, Mapping):
            return _Fields(found)
        if found is not None:
            raise UnknownArchitecture("config.json: quantization_config must be a mapping")
    return _Fields({})


def _attention(fields: _Fields, layers: int) -> Attention:
    if fields.has("kv_source_layer_ids"):
        return _shared_compressed(fields)
    if fields.has("compress_ratios"):
        return _compressed(fields, layers)
    if fields.has("kv_lora_rank"):
        return _latent(fields)
    heads = fields.positive("num_attention_heads")
    kv_heads = fields.number("num_key_value_heads", heads) or heads
    hidden = fields.positive("hidden_size")
    if not fields.has("head_dim") and hidden % heads:
        raise UnknownArchitecture(f"config.json: hidden_size {hidden} is no multiple of {heads} heads; give head_dim")
    if heads % kv_heads:
        raise UnknownArchitecture(f"config.json: {heads} attention heads are no multiple of {kv_heads} key-value heads")
    bias = fields.flag("attention_bias", fields.text("model_type") == "qwen2")
    return GroupedQueryAttention(heads, kv_heads, fields.number("head_dim", hidden // heads) or hidden // heads, bias)


def _latent(fields: _Fields) -> LatentAttention:
    return LatentAttention(
        heads=fields.positive("num_attention_heads"),
        latent_rank=fields.positive("kv_lora_rank"),
        query_rank=fields.number("q_lora_rank", 0) or None,
        nope_dim=fields.positive("qk_nope_head_dim"),
        rope_dim=fields.positive("qk_rope_head_dim"),
        value_dim=fields.positive("v_head_dim"),
        indexer=_indexer(fields) if fields.has("index_topk") else None,
    )


def _compressed(fields: _Fields, layers: int) -> CompressedAttention:
    ratios = fields.numbers("compress_ratios")
    if len(ratios) < layers:
        raise UnknownArchitecture(f"config.json: compress_ratios has {len(ratios)} entries for {layers} layers")
    # What follows the decoder's layers belongs to the prediction layers.
    return CompressedAttention(**vars(_low_rank(fields)), ratios=ratios[:layers])


def _shared_compressed(fields: _Fields) -> SharedCompressedAttention:
    return SharedCompressedAttention(
        **vars(_low_rank(fields)),
        source_layers=fields.numbers("kv_source_layer_ids"),
        index_layers=fields.numbers("index_source_layer_ids"),
        global_bytes_per_token=fields.number("global_kv_bytes_per_token", 890),
    )


def _low_rank(fields: _Fields) -> LowRankAttention:
    return LowRankAttention(
        heads=fields.positive("num_attention_heads"),
        head_dim=fields.positive("head_dim"),
        rope_dim=fields.positive("qk_rope_head_dim"),
        query_rank=fields.positive("q_lora_rank"),
        output_rank=fields.positive("o_lora_rank"),
        output_groups=fields.positive("o_groups"),
        window=fields.positive("sliding_window"),
        indexer=_indexer(fields),
    )


def _indexer(fields: _Fields) -> Indexer:
    return Indexer(fields.positive("index_n_heads"), fields.positive("index_head_dim"), fields.positive("index_topk"))


def _dense_width(fields: _Fields) -> int:
    # V4 has no dense layer and no intermediate_size: its shared expert is as wide as a routed one.
    return fields.positive("intermediate_size" if fields.has("intermediate_size") else "moe_intermediate_size")


def _experts(fields: _Fields, layers: int) -> MixtureOfExperts | None:
    if not fields.number("n_routed_experts", 0):
        return None
    experts = MixtureOfExperts(
        routed=fields.positive("n_routed_experts"),
        active=fields.positive("num_experts_per_tok"),
        shared=fields.number("n_shared_experts", 0),
        width=fields.positive("moe_intermediate_size"),
        first_dense_layers=fields.number("first_k_dense_replace", 0),
    )
    if experts.active > experts.routed or experts.first_dense_layers > layers:
        raise UnknownArchitecture("config.json: more active than routed experts, or more dense layers than layers")
    return experts


def _native_format(fields: _Fields, quantization: _Fields, stored_as: str | None) -> str:
    if "fp4" in (fields.text("expert_dtype"), quantization.text("expert_dtype")):
        return "mxfp4"
    if quantization.all:
        found = stored_format(quantization.all) or stored_as
        if found is None:
            method = quantization.text("quant_method") or "without quant_method"
            raise UnknownArchitecture(
                f"config.json: quantization method {method!r} with these bits is not one that sizing knows: write how the"
                " weights are stored as quantization (fp8, int8, awq, gptq, w4a8, nvfp4, mxfp4)"
            )
        return found
    return "fp32" if "float32" in (fields.text("torch_dtype"), fields.text("dtype")) else "bf16"


def _weight_block(quantization: _Fields) -> int | None:
    sides = quantization.numbers("weight_block_size")
    return max(sides) if sides else None


def _engram_parameters(fields: _Fields) -> int:
    rows = fields.numbers("engram_num_embeddings")
    return sum(rows) * fields.number("engram_head_dim", 256) if rows else 0
