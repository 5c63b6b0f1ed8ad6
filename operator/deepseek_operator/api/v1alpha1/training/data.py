"""What is learnt from."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, DatasetUri, Decimal, FilePath, Weight, rule, rules
from deepseek_operator.api.v1alpha1.common.source import HUB_SCHEME, S3_SCHEME, KeptSource

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$", max_length=3)]


class DvcPin(ApiModel):
    """What DVC has recorded of a dataset; data that is anything else is refused."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.file) || has(self.md5)",
                "write datasets.source.dvc.file (a .dvc file beside the data) or datasets.source.dvc.md5 (what it records), or both",
            )
        )
    )

    file: FilePath | None = Field(
        default=None,
        description="The .dvc file, from the root of the claim or image that source.uri names. Example: corpora/train.jsonl.dvc. Absent: md5 alone says what the data is.",
    )
    md5: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}([.]dir)?$", max_length=36)] | None = Field(
        default=None,
        description="outs[].md5 of the .dvc file, of a folder with .dir at its end; with file, which must record the same. Example: ea405059015cd95c7fac18b4aaeea653. Absent: what file records.",
    )


class DatasetSource(KeptSource):
    """Where a dataset lies, or is fetched from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.claimName) ? self.uri.matches('^(hf|s3|http)') : "
                "!(self.uri.matches('^(hf|s3|http)') || has(self.credentials) || has(self.digest))",
                "data that is fetched (hf://, s3://, https://) needs claimName, the claim that it is kept on, and may have credentials and "
                "digest; data that is there (pvc://, image://, builtin://) has none of them",
            ),
            rule(
                "!has(self.dvc) || !(has(self.claimName) || self.uri.startsWith('builtin://') || self.uri.contains('*') || "
                "self.uri.contains('?'))",
                "datasets.source.dvc is of a file or a folder that dvc add was given: name it by source.uri, or leave dvc out; of "
                "what is fetched write source.digest",
                fieldPath=".dvc",
            ),
        )
    )

    uri: DatasetUri = Field(
        description="pvc://<claim>/<file, folder or pattern>, image:///<path in the image>, or builtin://<name of a generated task>; or hf://datasets/<organisation>/<dataset>@<branch, tag or commit>/<file, folder or pattern>, which is fetched from the Hugging Face Hub, or the administrator's mirror of it, at the commit that it names then, or s3://<bucket>/<file, folder or pattern>, from the administrator's S3, or https://<host>/<file>, or a folder with / at its end, the records that its SHA256SUMS names, where the administrator allows it. Of a folder all files are read, in the order of their names; in a pattern * and ? stand for any characters of a name, ** for any folders. Examples: pvc://corpora/support.jsonl, pvc://corpora/2026/*.parquet, hf://datasets/HuggingFaceH4/ultrachat_200k@main/data/train_sft-*.parquet.",
    )
    dvc: DvcPin | None = Field(
        default=None,
        description="What DVC has recorded of it, checked at each start of an attempt. Absent: the data is taken as it is, and may not change while it is learnt.",
    )

    @property
    def selection(self) -> str:
        """Of what is fetched, the file, folder or pattern below its place; empty for a whole repository."""
        if self.is_in_bucket:
            return str(self.uri).removeprefix(S3_SCHEME).removeprefix(self._root).strip("/")
        if self.is_on_web:
            return str(self.uri).rpartition("/")[2]
        return str(self.uri).removeprefix(HUB_SCHEME).partition("@")[2].partition("/")[2]

    @property
    def _root(self) -> str:
        """Where the first pattern stands, or the file or the folder that is named: as `deepseek_runtime.fetcher` divides it."""
        steps = str(self.uri).removeprefix(S3_SCHEME).split("/")
        cut = next((at for at, step in enumerate(steps) if {"*", "?"} & set(step)), len(steps) - 1)
        return "/".join(steps[:cut])


class ChatTemplate(ApiModel):
    """How chats are written, in place of the model's own template."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.name) != has(self.text)",
                "write chatTemplate.name (a template that the trainer knows) or chatTemplate.text (Jinja), one of them",
            )
        )
    )

    name: Literal["DeepSeek"] | None = Field(
        default=None,
        description="DeepSeek: the form of DeepSeek-V3 and R1, with every message as it stands, thoughts and calls of tools included.",
    )
    text: Annotated[str, StringConstraints(min_length=1, max_length=16384)] | None = Field(
        default=None,
        description="A chat template in Jinja, as a tokenizer_config.json holds it: it gets messages, tools, add_generation_prompt, bos_token and eos_token. Example: a model's own template with its thoughts kept.",
    )


class Dataset(ApiModel):
    """One dataset."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.split != 'Heldout' || double(self.weight) == 1.0",
                "datasets.weight is for what is learnt from: leave it out of a dataset with split Heldout",
                fieldPath=".weight",
            )
        )
    )

    source: DatasetSource = Field(description="Where it lies.")
    split: Literal["Train", "Heldout"] = Field(
        default="Train", description="Train: learnt from. Heldout: only evaluated. Default Train."
    )
    format: Literal["PromptCompletion", "Text", "Messages", "Alpaca", "Preference"] = Field(
        default="PromptCompletion",
        description='Messages: JSON lines {"messages": [{"role": …, "content": …}, …]} in OpenAI\'s form, with "tools" where some are called, written by the chat template as /v1/chat/completions writes them. Alpaca: JSON lines {"instruction": …, "input": …, "output": …}, written as chats too. PromptCompletion: JSON lines {"prompt": …, "completion": …}, trained as they are written, without a chat template: ask the result by /v1/completions. Text: plain text, or JSON lines {"text": …}, learnt throughout. Preference: JSON lines {"prompt": …, "chosen": …, "rejected": …}, for objective DPO. Each may be JSON lines, one JSON list, or a Parquet table with columns of these names: a file is read by its content, whatever it is called. Default PromptCompletion.',
    )
    weight: Weight = Field(
        default="1",
        description='How often each of its examples is seen per epoch, a decimal above 0, in quotes where it has a fraction: 3 is three times, "0.5" a fresh half of them in every epoch. Default "1".',
        json_schema_extra=rules(
            rule(
                "double(self) > 0.0",
                'datasets.weight must be above 0, for example "0.5"; leave out a dataset that is not wanted',
            )
        ),
    )


class Preparation(ApiModel):
    """What is done to the datasets once, before anything is learnt. Each part is off where it is absent."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.nearSimilarity) || (has(self.deduplicate) && self.deduplicate == 'Near')",
                "data.nearSimilarity says how alike near duplicates are: write data.deduplicate Near beside it, or leave it out",
                fieldPath=".nearSimilarity",
            ),
            rule(
                "!has(self.minTokens) || !has(self.maxTokens) || self.minTokens <= self.maxTokens",
                "data.minTokens must be at most data.maxTokens: write them the other way round",
                fieldPath=".minTokens",
            ),
        )
    )

    normalize: Literal["NFC", "NFKC"] | None = Field(
        default=None,
        description="Unicode form of all texts, Heldout ones included, with lines ended by a line feed and without control characters. NFC: the same characters, composed. NFKC: compatible ones replaced as well, which changes text (full-width letters, ligatures). Absent: as they are written.",
    )
    deduplicate: Literal["Exact", "Near"] | None = Field(
        default=None,
        description="Exact: of records that are the same, over all Train datasets, the first is kept. Near: also of those that are nearSimilarity alike, by MinHash over runs of three words (each Chinese or Japanese character is a word) of what all but the system say. Absent: all are kept.",
    )
    near_similarity: Decimal | None = Field(
        default=None,
        description='Share of runs of three words that two records have in common for the later one to be dropped, a decimal from 0.5 to 1, in quotes where it has a fraction, estimated with a deviation of at most 1/16. Absent: "0.8".',
        json_schema_extra=rules(
            rule(
                "double(self) >= 0.5 && double(self) <= 1.0",
                'data.nearSimilarity must be from 0.5 to 1, for example "0.8"',
            )
        ),
    )
    min_tokens: Annotated[int, Field(ge=1, le=1048576)] | None = Field(
        default=None, description="Records of fewer tokens, as they are rendered, are dropped. Absent: none."
    )
    max_tokens: Annotated[int, Field(ge=1, le=1048576)] | None = Field(
        default=None,
        description="Records of more tokens are dropped, in place of being cut to hyperparameters.sequenceLength. Absent: none.",
    )
    languages: Annotated[list[Language], Field(min_length=1, max_length=32)] | None = Field(
        default=None,
        description="Languages by their ISO 639 codes, as py3langid tells them; records of which another language is a hundred times likelier than each of these are dropped, those too short to tell (20 bytes of letters) are kept. Example: [en, zh]. Absent: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    min_letters: Decimal | None = Field(
        default=None,
        description='Share of letters and digits, in any script, among the characters that are no white space; records of fewer are dropped. A decimal from 0 to 1, in quotes where it has a fraction. Example: "0.5". Absent: none are.',
        json_schema_extra=rules(rule("double(self) <= 1.0", 'data.minLetters must be at most 1, for example "0.5"')),
    )
    max_repetition: Decimal | None = Field(
        default=None,
        description='Share of lines that stand in the record before; records of more are dropped. A decimal from 0 to 1, in quotes where it has a fraction. Example: "0.3", as for Gopher. Absent: none are.',
        json_schema_extra=rules(rule("double(self) <= 1.0", 'data.maxRepetition must be at most 1, for example "0.3"')),
    )
    decontaminate_words: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None,
        description="Train records that hold so many words in a row that a Heldout dataset holds, or all words of a shorter one of its records and no others, are dropped; what the system says does not count. Example: 13, as for GPT-3. Absent: none are.",
    )
    packing: Literal["Documents"] | None = Field(
        default=None,
        description="Documents: neighbours share a sequence of hyperparameters.sequenceLength as far as they have room; each begins at position 0 and sees nothing of the others, so losses are as without. hyperparameters.globalBatchSize counts sequences. Absent: one record a sequence; texts fill sequences and see those before them.",
    )
