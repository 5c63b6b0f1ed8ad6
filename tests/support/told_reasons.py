"""Types and reasons of conditions, and reasons of events, as the source of the operator writes them down.

Read off the calls that make them: `Verdict(type, status, reason, …)`, `Event(type, reason, …)` and the short forms of events.
What a call is handed by its caller is not seen here; reasons of the lists in `reasons.py` have their own table.
"""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

OPERATOR = Path(__file__).parents[2] / "operator"
TYPES = {"Verdict": 0, "verdict": 0, "result": 0, "find": 1}
SHORT_EVENTS = ("_normal", "_warning", "_tells")


@cache
def condition_types() -> frozenset[str]:
    """Of every condition that a kind may have."""
    return frozenset(_written(TYPES))


@cache
def condition_reasons() -> frozenset[str]:
    """Those that stand beside the condition that they are of, and not in a list."""
    return frozenset(_written({"Verdict": 2, "Notice": 0}))


@cache
def event_reasons() -> frozenset[str]:
    """Of events that tell more than a condition does."""
    return frozenset(_written({"Event": 1, **dict.fromkeys(SHORT_EVENTS, 0)}))


def _written(calls: dict[str, int]) -> Iterator[str]:
    for folder in ("core", "domain/sizing", "workloads", "kinds", "controller"):
        for path in sorted((OPERATOR / "deepseek_operator" / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
                    place = calls[node.func.id]
                    if len(node.args) > place:
                        yield from _words(node.args[place], path)


def _words(node: ast.expr, path: Path) -> Iterator[str]:
    """Texts that an argument may be: literals, and constants by their names."""
    match node:
        case ast.Constant(value=str(text)) if text not in ("Normal", "Warning"):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _words(body, path)
            yield from _words(orelse, path)
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name) if name.isupper():
            yield from _constant(node, path)


def _constant(node: ast.expr, path: Path) -> Iterator[str]:
    module = importlib.import_module(".".join(path.relative_to(OPERATOR).with_suffix("").parts))
    try:
        value = eval(compile(ast.Expression(node), str(path), "eval"), vars(module))
    except (NameError, AttributeError):
        return
    yield str(getattr(value, "name", value) if not isinstance(value, str) else value)
