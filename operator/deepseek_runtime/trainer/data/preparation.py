"""Datasets as token files: read once, judged, told apart from each other, packed, counted.

First every record is made an example on its own (see `making`) and put on the volume with what duplicates are told by;
then it is known which are kept, and they go into the files that ranks map. Hence memory is bounded by the largest record
and some hundred bytes for each of them, and time is linear in the data (but for sorting).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data.cleaning import Cleaning
from deepseek_runtime.trainer.data.duplicates import KEY_BYTES, PERMUTATIONS, SIGNATURE_BYTES, exact, near
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.data.making import Item, Maker, batches_made, said, written
from deepseek_runtime.trainer.data.packing import packs, pieces
from deepseek_runtime.trainer.data.records import Content
from deepseek_runtime.trainer.data.rendering import batches
from deepseek_runtime.trainer.data.source import ADVICE, chats_of, name_of, pairs_of, sha256_of, texts_of
from deepseek_runtime.trainer.data.token_files import Mapped, TokenWriter
from deepseek_runtime.trainer.data.words import runs, words

_RAW = "raw"
_KEYS, _SIGNATURES = "keys", "signatures"
EXACT, NEAR, NO_ROOM = "exactDuplicate", "nearDuplicate", "noRoom"
# Below so many bytes of sources workers take longer to begin than they save.
PARALLEL_BYTES = 64 << 20


@dataclass(frozen=True)
class Counted:
    """What became of one dataset.

    Attributes:
        read: its records; `reasons` count those that are left out.
        cut, needed: as in `dataset.Read`.
        tokens: of all examples.
        longest: tokens of the longest example that is used.
    """

    sha256: str
    read: int
    examples: int
    tokens: int
    cut: int
    needed: int
    longest: int
    largest_token: int
    has_answers: bool
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A dataset with the files that it was found to name."""

    dataset: Dataset
    contents: Sequence[Content]

    @property
    def is_learnt(self) -> bool:
        return self.dataset.split == "Train"

    @property
    def size_bytes(self) -> int:
        return sum(one.path.stat().st_size for one in self.contents)

    def items(self) -> Iterator[Item]:
        """Its records, in order. Raises Invalid with the place of a broken one."""
        match self.dataset.format:
            case "Text":
                yield from texts_of(self.dataset, self.contents)
            case "PromptCompletion":
                yield from ((place, (one, other)) for place, one, other in pairs_of(self.dataset, self.contents))
            case _:
                yield from chats_of(self.dataset, self.contents)


@dataclass(frozen=True)
class Preparing:
    """One preparation: into `directory`, of examples of at most `length` tokens. `beat` is called as it goes on."""

    sources: Sequence[Source]
    maker: Maker
    length: int
    directory: Path
    workers: int
    beat: Callable[[], None]

    def run(self) -> list[Counted]:
        """Makes the files, and takes away what was needed on the way. Raises Invalid for records that can't be used."""
        maker = self._aware_of_heldout()
        read = [self._make(number, one, maker) for number, one in enumerate(self.sources)]
        reasons = self._duplicates([len(one) for one in read])
        counted, first = [], 0
        for number, source in enumerate(self.sources):
            again = reasons[first : first + len(read[number])] if source.is_learnt else None
            first += len(read[number]) if source.is_learnt else 0
            counted.append(self._assemble(number, source, read[number], again))
        for one in self.directory.glob(f"{_RAW}-*"):
            one.unlink()
        return counted

    def _aware_of_heldout(self) -> Maker:
        length, form = self.maker.options.decontaminate_words, self.maker.options.normalize
        if not length:
            return self.maker
        found = set[str]()
        for source in self.sources:
            if not source.is_learnt:
                for _, content in source.items():
                    found |= runs(words(said(written(content, form))), length)
                    self.beat()
        return Maker(self.maker.tokenizer, self.maker.loss_on, self.maker.options, Cleaning(self.maker.options, found))

    def _make(self, number: int, source: Source, maker: Maker) -> "_Made":
        writer, counts = TokenWriter(self.directory, f"{_RAW}-{number}"), Counter[str]()
        workers = self.workers if source.size_bytes >= PARALLEL_BYTES else 1
        items = batches(source.items(), lambda item: len(said(item[1])))
        with (self.directory / f"{_RAW}-{_KEYS}").open("ab") as keys, self._signatures().open("ab") as signatures:
            for batch in batches_made(maker, items, is_learnt=source.is_learnt, workers=workers):
                for one in batch:
                    counts["read"] += 1
                    if one.example is None:
                        counts[str(one.reason)] += 1
                        continue
                    writer.append(one.example)
                    keys.write(one.key)
                    signatures.write(one.signature)
                self.beat()
        writer.close()
        if not counts["read"]:
            raise Invalid(f"dataset {name_of(source.dataset)} holds no example; {ADVICE[source.dataset.format]}")
        return _Made(Mapped(self.directory, f"{_RAW}-{number}"), counts)

    def _signatures(self) -> Path:
        return self.directory / f"{_RAW}-{_SIGNATURES}"

    def _duplicates(self, sizes: Sequence[int]) -> "numpy.ndarray":
        """For all records that are learnt from, in order: 0 for those that are kept, 1 for exact duplicates, 2 for near ones."""
        learnt = sum(size for size, source in zip(sizes, self.sources, strict=True) if source.is_learnt)
        found = numpy.zeros(learnt, dtype=numpy.uint8)
        options = self.maker.options
        if options.deduplicate is None or not learnt:
            return found
        keys = numpy.fromfile(self.directory / f"{_RAW}-{_KEYS}", dtype=numpy.uint64).reshape(-1, KEY_BYTES // 8)
        again = exact(keys)
        found[again] = 1
        if options.deduplicate == "Near":
            signed = numpy.memmap(self._signatures(), numpy.uint32, "r", shape=(learnt, PERMUTATIONS))
            assert self._signatures().stat().st_size == learnt * SIGNATURE_BYTES
            found[near(signed, options.near_similarity, again, self.beat)] = 2
        return found

    def _assemble(self, number: int, source: Source, made: "_Made", again: "numpy.ndarray | None") -> Counted:
        counts, writer = made.counts, TokenWriter(self.directory, str(number))
        if again is not None:
            counts[EXACT], counts[NEAR] = int((again == 1).sum()), int((again == 2).sum())
        kept = self._kept(made.examples, again)
        fitting = _Fitting(self.length)
        if source.dataset.format == "Text":
            apart = self.maker.options.packing == "Documents" and source.is_learnt
            ready = pieces((one.tokens for one in kept), self.length, apart=apart)
        else:
            ready = fitting.of(kept)
            if self.maker.options.packing == "Documents" and source.is_learnt:
                ready = packs(ready, self.length)
        for one in ready:
            writer.append(one)
        writer.close()
        counts[NO_ROOM] = fitting.dropped
        read, reasons = counts.pop("read"), {name: count for name, count in sorted(counts.items()) if count}
        if not writer.count:
            raise Invalid(_nothing_left(source.dataset, read, reasons, fitting.needed))
        return Counted(
            sha256=sha256_of(source.dataset, source.contents),
            read=read,
            examples=writer.count,
            tokens=writer.tokens,
            cut=fitting.cut,
            needed=fitting.needed,
            longest=writer.longest,
            largest_token=writer.largest_token,
            has_answers=source.dataset.format != "Text" and self.maker.loss_on != "All",
            reasons=reasons,
        )

    def _kept(self, examples: Mapped, again: "numpy.ndarray | None") -> Iterator[Example]:
        for index in range(len(examples)):
            if again is None or not again[index]:
                yield examples[index]
            if index % 1000 == 0:
                self.beat()


@dataclass(frozen=True)
class _Made:
    examples: Mapped
    counts: Counter[str]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass
class _Fitting:
    """Examples cut to a length; counts those that have no room there for a token to predict."""

    length: int
    dropped: int = 0
    cut: int = 0
    needed: int = 0

    def of(self, examples: Iterator[Example]) -> Iterator[Example]:
        for one in examples:
            self.needed = max(self.needed, len(one.tokens))
            if (fitting := one.cut(self.length)) is None:
                self.dropped += 1
                continue
            self.cut += len(one.tokens) > self.length
            yield fitting


def _nothing_left(dataset: Dataset, read: int, reasons: Mapping[str, int], needed: int) -> str:
    told = ", ".join(f"{count:,} {name}" for name, count in reasons.items()) or "all of them one token"
    longer = f", or write hyperparameters.sequenceLength {needed}" if NO_ROOM in reasons else ""
    return (
        f"dataset {name_of(dataset)}: none of {read:,} examples is left ({told}); ask less of them by spec.data{longer},"
        " or leave the dataset out"
    )
