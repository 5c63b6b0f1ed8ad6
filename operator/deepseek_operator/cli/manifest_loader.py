"""YAML as kubectl reads it: what JSON can say, bounded in depth, and no alias that holds itself.

Below `DEEPEST_READ` levels an object is read as empty: deeper than the operator looks (`core.kept`), so its answer is the
same, and whatever walks through it later needs no care.
"""

import re
from typing import Any

import yaml

DEEPEST_READ = 100
"""Levels of a file; an object in a List lies two lower. Parsing takes three calls of Python's thousand for each."""
DEEPEST_SENT = 10_000
"""Levels that the Go decoders of kubectl and of the API server go down to."""
MOST_MERGED = 10_000
"""Keys of one map by `<<`. Maps that merge maps multiply, without end otherwise."""
_NOT_JSON = ("set", "omap", "pairs", "binary", "timestamp")
_SURROGATE = re.compile("[\ud800-\udfff]")


class ManifestLoader(yaml.SafeLoader):
    """Scalars as kubectl reads them: 1e-5 is a number, a date is a text, and 1:30 is one too."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._above: list[str | None] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node and all below it. Raises MarkedYAMLError for an alias of what it lies in."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._above:
            raise _at(event.start_mark, f"anchor '{event.anchor}' value contains itself")
        if len(self._above) >= DEEPEST_READ and isinstance(event, yaml.CollectionStartEvent):
            return self._passed_over(event)
        self._above.append(event.anchor)
        try:
            return super().compose_node(parent, index)
        finally:
            self._above.pop()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Puts what is merged by `<<` into the map."""
        super().flatten_mapping(node)
        if len(node.value) > MOST_MERGED:
            raise _at(node.start_mark, "document contains excessive aliasing")

    def _passed_over(self, start: yaml.CollectionStartEvent) -> yaml.Node:
        """An empty node in the place of a deep one. What is anchored in it can't be named elsewhere."""
        depth = 0
        while True:
            event: Any = self.get_event()  # type: ignore[no-untyped-call]
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if len(self._above) + depth > DEEPEST_SENT:
                raise _at(event.start_mark, f"exceeded max depth of {DEEPEST_SENT}")
            if depth == 0:
                break
        is_map = isinstance(start, yaml.MappingStartEvent)
        tag = f"tag:yaml.org,2002:{'map' if is_map else 'seq'}"
        node = yaml.MappingNode(tag, []) if is_map else yaml.SequenceNode(tag, [])
        if start.anchor is not None:
            self.anchors[start.anchor] = node
        return node


def _at(mark: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _number(loader: ManifestLoader, node: yaml.ScalarNode) -> float:
    text = str(node.value)
    if text.lstrip("+-.").lower() in ("inf", "nan"):
        raise _at(node.start_mark, f"json: unsupported value: {text}")
    return float(text.replace("_", ""))


def _text(loader: ManifestLoader, node: yaml.ScalarNode) -> str:
    """JSON escapes what is not in the first plane in two halves; half a one is told as the decoders tell it."""
    text = str(node.value)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if _SURROGATE.search(text) else text


ManifestLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float", ":int"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
ManifestLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o?[0-7]+)$"), list("-+0123456789")
)
ManifestLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
ManifestLoader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] not in _NOT_JSON
}
ManifestLoader.add_constructor("tag:yaml.org,2002:float", _number)
ManifestLoader.add_constructor("tag:yaml.org,2002:str", _text)
