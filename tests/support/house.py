"""The operator as it is imported with one more line in a table: for tests that a further entry is all that it takes."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import MappingProxyType, SimpleNamespace
from typing import Any


@contextmanager
def with_entry(
    table: str, name: str, entry: Callable[[], Any], modules: Mapping[str, str]
) -> Iterator[SimpleNamespace]:
    """The modules by their short names, imported anew after `entry` was added to the mapping `name` of the module `table`
    under its type; everything is as it was afterwards."""
    kept = _taken_out()
    try:
        added, held = entry(), import_module(table)
        vars(held)[name] = MappingProxyType({**getattr(held, name), added.type: added})
        yield SimpleNamespace(**{short: import_module(module) for short, module in modules.items()})
    finally:
        _taken_out()
        sys.modules.update(kept)


def _taken_out() -> Mapping[str, Any]:
    ours = [name for name in sys.modules if name.startswith(("deepseek_operator", "tests.support"))]
    return {name: sys.modules.pop(name) for name in ours}
