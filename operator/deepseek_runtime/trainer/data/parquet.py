"""Rows of a Parquet file, as records of the form that JSON lines have."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import bounded
from deepseek_runtime.reading import is_the_machines, reading

MAGIC = b"PAR1"
COPY = "copy it again, whole"
# Rows that are Python objects at a time; beside them a row group's chunks of the columns that are read.
_AT_ONCE = 1024
# Magic, the footer's length, magic.
_LEAST_BYTES = 12


def is_parquet(path: Path) -> bool:
    """Whether a file begins and ends as a Parquet file does; a text that only begins so is none."""
    if not path.is_file() or path.stat().st_size < _LEAST_BYTES:
        return False
    with path.open("rb") as stream:
        head = stream.read(len(MAGIC))
        stream.seek(-len(MAGIC), 2)
        return head == MAGIC == stream.read(len(MAGIC))


def rows(name: str, path: Path, columns: Collection[str], advice: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Each row with its place, counted from 1, and of its columns those that are asked for.

    Raises Invalid with the row that can't be read, and with the columns that there are when none is asked for.
    """
    import pyarrow.parquet as parquet  # a quarter of a second that only tables need

    with reading(name, COPY), parquet.ParquetFile(path, memory_map=True) as table:
        names = table.schema_arrow.names
        _check_columns(name, names, columns, advice)
        wanted, number = [one for one in names if one in columns], 0
        for batch in table.iter_batches(batch_size=_AT_ONCE, columns=wanted):
            for record in _records(name, batch, number):
                number += 1
                yield f"{name} row {number}", {key: _told(value) for key, value in record.items()}


def _check_columns(name: str, there: list[str], columns: Collection[str], advice: str) -> None:
    twice = sorted({one for one in there if there.count(one) > 1})
    if twice:
        raise Invalid(f"{name} has the column {twice[0]!r} twice: one of them would be lost; write it once")
    if not set(there) & set(columns):
        raise Invalid(f"{name} has the columns {bounded(', '.join(map(repr, there))) or 'of nothing'}; {advice}")


def _records(name: str, batch: "object", before: int) -> Iterator[Mapping[str, object]]:
    """The rows of a batch; where one can't be read, those before it and then its number."""
    try:
        yield from batch.to_pylist()  # type: ignore[attr-defined]
        return
    except Exception as error:
        if is_the_machines(error):
            raise
    for index in range(batch.num_rows):  # type: ignore[attr-defined]
        with reading(f"{name} row {before + index + 1}", "write text in UTF-8, or leave the row out"):
            (record,) = batch.slice(index, 1).to_pylist()  # type: ignore[attr-defined]
        yield record


def _told(value: object) -> object:
    """Without the fields of objects that are null: a column of objects has each field that any of them has."""
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items() if one is not None}
    return value
