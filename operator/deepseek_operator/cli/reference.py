"""The reference in docs/: every field, every value of the chart and every command, as Markdown made from what defines them."""

from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_operator.api.crd import documents
from deepseek_operator.core.kinds import Kinds

Schema = Mapping[str, Any]
_LONGEST_DEFAULT = 60
"""Characters of a default value in a table; the file itself has longer ones."""


def fields(kinds: Kinds) -> dict[str, str]:
    """By kind and part, `training-spec`, a row for every field, in the order of the definition."""
    found = {}
    for definition in kinds.definitions:
        (document,) = documents((definition,))
        (version,) = document["spec"]["versions"]
        schema = version["schema"]["openAPIV3Schema"]["properties"]
        family = definition.resource.family
        for part in ("spec", "status"):
            rows = (
                (f"`{path}`", _kind(one), _bounds(one), one["description"]) for path, one in _fields(schema[part], "")
            )
            found[f"{family.word if family else definition.short_name}-{part}"] = _table(
                (f"`{part}.`…", "type", "default and bounds", "what it is"), rows
            )
    return found


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, child in schema.get("properties", {}).items():
        where = f"{path}.{name}".lstrip(".")
        yield where, child
        yield from _fields(child, where)
        if "items" in child:
            yield from _fields(child["items"], f"{where}[]")
        if isinstance(child.get("additionalProperties"), Mapping):
            yield from _fields(child["additionalProperties"], f"{where}.*")


def _kind(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "number or text"
    if (inner := schema.get("items")) is not None:
        return f"list of {_kind(inner)}"
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        return f"map to {_kind(values)}"
    return str(schema.get("type", "any"))


def _bounds(schema: Schema) -> str:
    default = schema.get("default")
    told = [f"`{_shown(default)}`"] if "default" in schema and not isinstance(default, Mapping) else []
    one = schema.get("items", schema)
    if "enum" in one:
        told.append(", ".join(f"`{value}`" for value in one["enum"]))
    low, high = one.get("minimum"), one.get("maximum")
    if low is not None or high is not None:
        told.append(f"{'' if low is None else low} to {high}" if high is not None else f"from {low}")
    return "; ".join(told)


def values(texts: Mapping[str, str], schema: Schema, defaults: Mapping[str, Any]) -> str:
    """A row for every value of the chart.

    Args:
        texts: comments of values.yaml by path, as `comments` reads them.
        schema: of the values; what it says of one is told where no comment does.
        defaults: values.yaml, read.

    Raises:
        ValueError: a value has neither a comment nor a description, nor has the one above it in the same block.
    """
    rows: list[tuple[str, str, str]] = []
    before = ""
    for path, default in _leaves(defaults, schema, ""):
        text = texts.get(path) or _described(schema, path)
        if not text and before.rpartition(".")[0] == path.rpartition(".")[0] != "":
            text = rows[-1][2]  # One comment stands over both.
        before = path
        if not text:
            raise ValueError(f"{path} has neither a comment with # -- in values.yaml nor a description in its schema")
        rows.append((f"`{path}`", f"`{_shown(default)}`", text))
    return _table(("value", "default", "what it is"), iter(rows))


def comments(text: str) -> dict[str, str]:
    """What comments that begin with `# --` say in values.yaml, by the path of the value below each."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# --"):
            said = [bare.removeprefix("# --").strip()]
        elif bare.startswith("#"):
            said = [*said, bare.removeprefix("#").strip()] if said else []
        elif ":" in bare and not bare.startswith("-"):
            depth = len(line) - len(line.lstrip())
            above = [(other, name) for other, name in above if other < depth]
            above.append((depth, bare.partition(":")[0]))
            if said:
                found[".".join(name for _, name in above)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def _leaves(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, Any]]:
    """Down to where the schema names no fields: a map whose names are free is one value."""
    if isinstance(value, Mapping) and "properties" in _node(schema, path):
        for name, child in value.items():
            yield from _leaves(child, schema, f"{path}.{name}".lstrip("."))
    else:
        yield path, value


def _described(schema: Schema, path: str) -> str:
    """What the schema says of a value; empty where it says nothing."""
    return str(_node(schema, path).get("description", ""))


def _node(schema: Schema, path: str) -> Schema:
    node = schema
    for name in path.split(".") if path else ():
        node = _resolved(node, schema).get("properties", {}).get(name, {})
    return _resolved(node, schema)


def _resolved(node: Schema, schema: Schema) -> Schema:
    if (name := node.get("$ref")) is None:
        return node
    target: Schema = schema["$defs"][name.rpartition("/")[2]]
    return {**target, **node}


def commands(parser: ArgumentParser) -> str:
    """A section for every command of a parser, with its arguments."""
    return "\n".join(_command(parser.prog, name, one, text) for name, one, text in _below(parser))


def _below(parser: ArgumentParser, before: str = "") -> Iterator[tuple[str, ArgumentParser, str]]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, one in action.choices.items():
                inner = list(_below(one, f"{before}{name} "))
                yield from inner or [(f"{before}{name}", one, texts.get(name, ""))]


def _command(program: str, name: str, parser: ArgumentParser, text: str) -> str:
    arguments = [action for action in parser._actions if action.help != SUPPRESS and action.dest != "help"]
    words = [_placed(action) for action in arguments if not action.option_strings]
    rows = ((_written(action), _said(action)) for action in arguments)
    head = f"### {' '.join((program, name))}\n\n`{' '.join((program, name, *words))}`: {_escaped(text)}.\n"
    return f"{head}\n{_table(('argument', 'what it is'), rows)}" if arguments else head


def _placed(action: Action) -> str:
    name = str(action.metavar or action.dest)
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _written(action: Action) -> str:
    choices = "|".join(map(str, action.choices or ()))
    takes = "" if action.nargs == 0 else f" {action.metavar or choices or action.dest.upper()}"
    names = action.option_strings or [str(action.metavar or action.dest)]
    shown = ", ".join(f"`{name}`" for name in names[:-1])
    last = f"`{names[-1]}{takes if action.option_strings else ''}`".replace("|", "\\|")
    return f"{shown}, {last}" if shown else last


def _said(action: Action) -> str:
    return f"{action.help or ''}{'; must be given' if action.required and action.option_strings else ''}"


def _shown(value: Any) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case "":
            text = '""'
        case str():
            text = value
        case list():
            text = f"[{', '.join(map(_shown, value))}]"
        case Mapping():
            text = f"{{{', '.join(f'{key}: {_shown(one)}' for key, one in value.items())}}}"
        case _:
            text = str(value)
    return text if len(text) <= _LONGEST_DEFAULT else f"{text[:_LONGEST_DEFAULT]}…"


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    body = "".join(f"| {first} | {' | '.join(map(_cell, others))} |\n" for first, *others in rows)
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n{body}"


def _cell(text: str) -> str:
    """Code, whose first column has its own marks, or words with what Markdown would read as markup made harmless."""
    return text if text.startswith("`") else _escaped(text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")
