"""What is learnt from."""

from typing import Literal

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, DatasetUri, Weight, rule, rules


class DatasetSource(ApiModel):
    """Where a dataset lies."""

    uri: DatasetUri = Field(
        description="pvc://<claim>/<file>, image:///<path in the image>, or builtin://<name of a generated task>. Example: pvc://corpora/support.jsonl."
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
    format: Literal["PromptCompletion", "Text"] = Field(
        default="PromptCompletion",
        description='PromptCompletion: JSON lines {"prompt": …, "completion": …}, loss on the completion only; both are trained as they are written, without the chat template of the model: ask the result by /v1/completions, or write the text of the template into them. Text: plain text, or JSON lines {"text": …}, loss everywhere. A file is read by its content, whatever it is called. Default PromptCompletion.',
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
