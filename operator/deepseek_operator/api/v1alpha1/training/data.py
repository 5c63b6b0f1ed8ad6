"""What is learnt from."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, DatasetUri, Weight, rule, rules


class DatasetSource(ApiModel):
    """Where a dataset lies."""

    uri: DatasetUri = Field(
        description="pvc://<claim>/<file, folder or pattern>, image:///<path in the image>, or builtin://<name of a generated task>. Of a folder all files are read, in the order of their names; in a pattern * and ? stand for any characters of a name, ** for any folders. Examples: pvc://corpora/support.jsonl, pvc://corpora/2026/*.parquet."
    )


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
    format: Literal["PromptCompletion", "Text", "Messages", "Alpaca"] = Field(
        default="PromptCompletion",
        description='Messages: JSON lines {"messages": [{"role": …, "content": …}, …]} in OpenAI\'s form, with "tools" where some are called, written by the chat template as /v1/chat/completions writes them. Alpaca: JSON lines {"instruction": …, "input": …, "output": …}, written as chats too. PromptCompletion: JSON lines {"prompt": …, "completion": …}, trained as they are written, without a chat template: ask the result by /v1/completions. Text: plain text, or JSON lines {"text": …}, learnt throughout. Each may be JSON lines, one JSON list, or a Parquet table with columns of these names: a file is read by its content, whatever it is called. Default PromptCompletion.',
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
