"""The text that a chat template makes of a chat: the one way to it, so that what is trained is what is served.

The template is the model's own (its tokenizer's), or one that a training is given, which its exports then carry.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.messages import Chat
from deepseek_runtime.checkpoint.files import write_whole
from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.files import read_json
from deepseek_runtime.reading import words
from deepseek_runtime.spec import ChatTemplate

# The form of DeepSeek-V3 and R1, with every message as it is written: nothing is left out before </think>, and nothing is
# put before an answer. The tokens' names are the family's; beginning and end are the tokenizer's own.
DEEPSEEK = """\
{{- bos_token if bos_token is defined and bos_token else '' -}}
{%- for message in messages if message.role in ('system', 'developer') -%}
{{- message.content ~ ('' if loop.last else '\n\n') -}}
{%- endfor -%}
{%- if tools -%}
{{- '\n\nTools that may be called, each by one call of the form <｜tool▁call▁begin｜>name<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>:' -}}
{%- for tool in tools -%}{{- '\n' ~ (tool.function | tojson) -}}{%- endfor -%}
{%- endif -%}
{%- for message in messages if message.role not in ('system', 'developer') -%}
{%- if message.role == 'user' -%}
{{- '<｜User｜>' ~ message.content -}}
{%- elif message.role == 'tool' -%}
{{- '<｜tool▁output▁begin｜>' ~ message.content ~ '<｜tool▁output▁end｜>' -}}
{%- else -%}
{{- '<｜Assistant｜>' -}}
{%- if message.reasoning_content -%}{{- '<think>\n' ~ message.reasoning_content ~ '\n</think>\n\n' -}}{%- endif -%}
{{- message.content or '' -}}
{%- if message.tool_calls -%}
{{- '<｜tool▁calls▁begin｜>' -}}
{%- for call in message.tool_calls -%}
{{- '<｜tool▁call▁begin｜>' ~ call.function.name ~ '<｜tool▁sep｜>' ~ (call.function.arguments | tojson) ~ '<｜tool▁call▁end｜>' -}}
{%- endfor -%}
{{- '<｜tool▁calls▁end｜>' -}}
{%- endif -%}
{{- eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<｜Assistant｜>' -}}{%- endif -%}
"""
_NAMED = {"DeepSeek": DEEPSEEK}

_FILE = "chat_template.jinja"
_SETTINGS = "tokenizer_config.json"


def text_of(template: ChatTemplate) -> str:
    """The Jinja text of what a training names."""
    return template.text or _NAMED[template.name or "DeepSeek"]


def rendered(tokenizer: PreTrainedTokenizerBase, chat: Chat, *, opens: bool) -> str:
    """The chat as its template writes it, special tokens included; `opens` has it open the next answer, as serving does.

    Raises Invalid for a template that refuses the chat, or can't be run.
    """
    messages, tools = [dict(one) for one in chat.messages], [dict(one) for one in chat.tools]
    try:
        text = tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False, add_generation_prompt=opens)
    except Exception as error:  # whatever a template does
        raise Invalid(f"the chat template refuses these messages: {words(error)}") from None
    assert isinstance(text, str)
    return text


def tokens_of(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered texts. Nothing is put before or after: a template writes its special tokens itself."""
    made: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False).input_ids
    return made


def write_template(directory: Path, template: str) -> None:
    """Gives a model folder this chat template, in both places that libraries look for one."""
    write_whole(directory / _FILE, template)
    file = directory / _SETTINGS
    settings = {**(read_json(file) if file.exists() else {}), "chat_template": template}
    write_whole(file, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
