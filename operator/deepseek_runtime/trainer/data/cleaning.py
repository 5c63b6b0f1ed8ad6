"""How a text is written before it is learnt from, and which are left out for what they are: rules that see one text alone."""

import math
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Preparation, UnicodeForm
from deepseek_runtime.trainer.data.words import runs, words

# Control characters but tab and line feed: what a terminal or a converter left, and no text needs.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Of its logarithms of likelihood: a hundred times. Short English with numbers is just as well Danish.
_UNLIKELY = math.log(100)
# Bytes of letters in UTF-8 that a language can be told by: some four words, or seven Chinese characters.
_TELLING_BYTES = 20


def normalised(value: object, form: UnicodeForm) -> object:
    """Every text in a JSON value in that Unicode form, its lines ended by a line feed, without control characters."""
    match value:
        case str(text):
            return unicodedata.normalize(form, _CONTROL.sub("", text.replace("\r\n", "\n")))
        case list(items):
            return [normalised(one, form) for one in items]
        case Mapping():
            return {name: normalised(one, form) for name, one in value.items()}
        case other:
            return other


def check_languages(languages: Collection[str]) -> None:
    """Raises Invalid for a language that nothing would ever be told as: everything would be dropped."""
    if not languages:
        return
    import py3langid

    known = sorted(name for name, _ in py3langid.rank("a"))
    unknown = sorted(set(languages) - set(known))
    if unknown:
        raise Invalid(f"data.languages: {unknown[0]} is none that py3langid tells; write of {', '.join(known)}")


@dataclass(frozen=True)
class Cleaning:
    """`heldout` are runs of words of what is only evaluated (see `runs`), which nothing that is learnt may hold."""

    options: Preparation
    heldout: Collection[str] = field(default_factory=frozenset)

    def reason(self, text: str) -> str | None:
        """Why a text is left out, in the word of the report; None where it is kept."""
        options = self.options
        if options.min_letters is not None and _letters(text) < options.min_letters:
            return "fewLetters"
        if options.max_repetition is not None and _repetition(text) > options.max_repetition:
            return "repetitive"
        if options.languages and not _is_in(text, options.languages):
            return "otherLanguage"
        length = options.decontaminate_words
        if length and self.heldout and not runs(words(text), length).isdisjoint(self.heldout):
            return "contaminated"
        return None


def _letters(text: str) -> float:
    """The share of letters and digits among all characters that aren't white space; 1 where there are none of those."""
    seen = "".join(text.split())
    return sum(map(str.isalnum, seen)) / len(seen) if seen else 1.0


def _repetition(text: str) -> float:
    """The share of lines that stand there a second time (Gopher, arXiv 2112.11446, table A1); empty ones aside."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def _is_in(text: str, languages: Collection[str]) -> bool:
    """Whether a text may be in one of the languages, as py3langid tells; too short a one may be in any."""
    if len("".join(filter(str.isalpha, text)).encode()) < _TELLING_BYTES:
        return True
    import py3langid  # half a second that only this filter needs

    told = dict(py3langid.rank(text))
    return bool(max(told[one] for one in languages) >= max(told.values()) - _UNLIKELY)
