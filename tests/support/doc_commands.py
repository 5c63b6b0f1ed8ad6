"""What is wrong with a command that documentation shows, judged by whatever reads it when a person types it.

Commands of this project go to their real parsers (and `size` and `plan` are run, since they need no cluster), files and
tests that are named must be there, and paths into a status must be in the definition. A word in capitals stands for
something of the reader's own.
"""

import contextlib
import io
import os
import re
import subprocess
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deepseek_operator import __main__ as operator
from deepseek_operator.cli import kubectl as plugin
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster import __main__ as local_cluster
from tests.support.doc_manifests import chart_value_problem, root_schema
from tests.support.shell_words import commands

ROOT = Path(__file__).parents[2]
ANYBODYS = frozenset(
    """
    apt-get awk base64 cat cd cp curl cut diff echo export find for go grep gzip head jq ls mkdir
    openssl printf read rm sed seq sha256sum sleep sort source tail tar tee test touch true tr uniq
    unset uv wait wc xargs . [ eval psql
    """.split()  # noqa: SIM905
)
"""Programs of every system, of which nothing is known here but that they are none of ours."""
_PLACEHOLDER = re.compile(r"^[A-Z][A-Z0-9_-]*$")
_OURS = re.compile(r"^(dst|dss|deepseek|deepseek(training|serving)s?)(\.deepseek-operator\.io)?(/.*)?$")
_PATHS = re.compile(r"\{\.([A-Za-z][\w.\[\]?()@=\"'*:-]*)")
_KEYS = re.compile(r"\bdeepseek-operator\.io/([a-z][a-z-]*)")
_KUBECTL_VERBS = frozenset(
    """
    annotate api-resources apply auth certificate cluster-info completion config cordon cp create debug
    delete describe diff drain edit events exec explain expose get kustomize label logs patch
    port-forward proxy replace rollout run scale set taint top uncordon version wait
    """.split()  # noqa: SIM905
)
_GLOBAL = frozenset({"-n", "--namespace", "--context", "--kubeconfig", "--as", "-s", "--server"})
_HELM_VERBS = frozenset(
    """
    dependency get history install lint list package pull push registry repo rollback show status
    template test uninstall upgrade version
    """.split()  # noqa: SIM905
)


def problems(text: str) -> Iterator[str]:
    """Of every command in a piece of shell."""
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if checked.returncode:
        yield f"bash does not read it: {checked.stderr.strip()}"
        return
    for words in commands(text):
        yield from (f"{' '.join(words)}: {told}" for told in _problems(words))
    for key in sorted(set(_KEYS.findall(text)) - _known_keys()):
        yield f"deepseek-operator.io/{key}: nothing writes or reads such a label or annotation"


def _problems(words: list[str]) -> Iterator[str]:
    program, arguments = words[0], words[1:]
    if program == "kubectl":
        yield from _kubectl(arguments)
    elif check := _CHECKS.get(program):
        yield from check(arguments)
    elif program.startswith(("./", "examples/", "tests/")):
        yield from _file(program)
    elif program not in ANYBODYS and not program.startswith("$"):
        yield f"nobody knows {program}: check it in tests/support/doc_commands.py, or mark the block"


def _parsed(parser: ArgumentParser, arguments: list[str]) -> Iterator[str]:
    """What argparse says of a wrong command line; a call for help is right."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parser.parse_args(arguments)
    except SystemExit as end:
        if end.code:
            yield said.getvalue().strip().splitlines()[-1]


def _operator(arguments: list[str]) -> Iterator[str]:
    yield from _ours(operator.parser(), arguments)


def _plugin(arguments: list[str]) -> Iterator[str]:
    yield from _ours(plugin.parser(), arguments)


def _ours(parser: ArgumentParser, arguments: list[str]) -> Iterator[str]:
    wrong = list(_parsed(parser, arguments))
    yield from wrong
    if not wrong and arguments[:1] in (["size"], ["plan"]) and not any(map(_PLACEHOLDER.match, arguments)):
        yield from _run(arguments)


def _run(arguments: list[str]) -> Iterator[str]:
    """`size` and `plan` of what is named: a question must have an answer, and what is planned must be made."""
    said, before = io.StringIO(), Path.cwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            status = operator.main(arguments)
    finally:
        os.chdir(before)
    if status == 2 or (status and arguments[0] == "plan"):
        yield said.getvalue().strip()


def _kubectl(arguments: list[str]) -> Iterator[str]:
    if arguments[:1] == ["deepseek"]:
        yield from _plugin(arguments[1:])
        return
    bare = list(_without(arguments, _GLOBAL))
    verb = next(iter(bare), "")
    if verb not in _KUBECTL_VERBS:
        yield f"kubectl has no {verb}"
    for name in _values(arguments, ("-f", "--filename", "-k", "--kustomize")):
        yield from _file(name)
    if any(_OURS.match(part) for word in bare[1:] for part in word.split(",")):
        for path in _PATHS.findall(" ".join(arguments)):
            if not any(_has(root_schema(kind), path) for kind in _kinds(bare)):
                yield f"no {' or '.join(_kinds(bare))} has .{path}"


def _kinds(words: list[str]) -> list[str]:
    named = {
        resource.kind
        for resource in KINDS.owners
        for word in words
        for part in word.split(",")
        if part.split("/")[0].split(".")[0] in (resource.plural, resource.kind.lower(), *_short(resource.kind))
    }
    return sorted(named) or [resource.kind for resource in KINDS.owners]


def _short(kind: str) -> tuple[str, ...]:
    return tuple(one.short_name for one in KINDS.definitions if one.resource.kind == kind)


def _has(schema: Mapping[str, Any], path: str) -> bool:
    """Whether the definition has a JSONPath's field; what is chosen within brackets is not looked at."""
    for name in re.sub(r"\[[^\]]*\]", "", path).strip(".").split("."):
        while "items" in schema:
            schema = schema["items"]
        if "additionalProperties" in schema or (schema.get("type") == "object" and "properties" not in schema):
            return True
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


def _helm(arguments: list[str]) -> Iterator[str]:
    bare = list(_without(arguments, _GLOBAL | {"--version", "--set", "--set-string", "-f", "--values"}))
    if not bare or bare[0] not in _HELM_VERBS:
        yield f"helm has no {next(iter(bare), '')}"
        return
    ours = [word for word in bare if word.rstrip("/").endswith("charts/deepseek-operator")]
    for chart in ours:
        yield from _file(chart)
    if ours:
        for pairs in _values(arguments, ("--set", "--set-string")):
            for pair in re.split(r"(?<!\\),(?![^{]*\})", pairs):
                if told := chart_value_problem(*pair.partition("=")[::2]):
                    yield told
    for name in _values(arguments, ("-f", "--values")):
        yield from _file(name)


def _file(name: str) -> Iterator[str]:
    """A path with a folder must be there; a bare name is the reader's own file."""
    if "/" not in name or "://" in name or name.startswith(("/", "~", "$")) or re.search(r"(^|/)[A-Z_]+(/|$)", name):
        return
    if not (ROOT / name).exists():
        yield f"{name} is not there"


def _tests_run(arguments: list[str]) -> Iterator[str]:
    cases = re.search(r"(?m)^\s+(style \|[^)]+)\) ;;", (ROOT / "tests" / "run").read_text())
    assert cases
    layers = {word.strip() for word in cases[1].split("|")}
    if arguments[:1] in (["machines"], ["benchmarks"], ["campaign"]):
        arguments = arguments[:1]
    yield from (f"tests/run has no layer {name}" for name in arguments if name not in layers)


def _examples_run(arguments: list[str]) -> Iterator[str]:
    yield from (f"examples/run takes no {name}" for name in arguments if name not in ("--out", "--help", "FOLDER"))


def _cluster(arguments: list[str]) -> Iterator[str]:
    yield from _parsed(local_cluster.parser(), arguments)


def _python(arguments: list[str]) -> Iterator[str]:
    match arguments:
        case ["-m", "deepseek_operator", *rest]:
            yield from _operator(rest)
        case ["-m", "pytest", *rest]:
            yield from _pytest(rest)
        case ["-m", "venv", *_] | ["-c", *_]:
            return
        case [name, *_]:
            yield from _file(name)


def _pytest(arguments: list[str]) -> Iterator[str]:
    for name in arguments:
        if not name.startswith("-"):
            yield from _test(name)


def _test(name: str) -> Iterator[str]:
    path, _, test = name.partition("::")
    yield from _file(path)
    if test and (ROOT / path).is_file() and f"def {test}(" not in (ROOT / path).read_text():
        yield f"{path} has no {test}"


def test_problem(name: str) -> str | None:
    """What is wrong with the name of a test, `path` or `path::test`."""
    return next(_test(name), None) if name.startswith("tests/") else f"{name}: write tests/…::test_…"


def _pip(arguments: list[str]) -> Iterator[str]:
    project = (ROOT / "pyproject.toml").read_text()
    for word in arguments:
        if found := re.fullmatch(r"\.\[([a-z,]+)\]", word):
            extras = (extra for extra in found[1].split(",") if f"\n{extra} = [" not in project)
            yield from (f"pyproject.toml has no {extra}" for extra in extras)


def _without(words: list[str], flags: frozenset[str]) -> Iterator[str]:
    """Words that are neither flags nor the value of one of `flags`."""
    skips = False
    for word in words:
        if skips:
            skips = False
        elif word in flags:
            skips = True
        elif not word.startswith("-"):
            yield word


def _values(words: list[str], flags: tuple[str, ...]) -> Iterator[str]:
    """What is given to flags, as the next word or behind an equals sign."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in flags:
            yield following
        elif word.startswith(tuple(f"{flag}=" for flag in flags if flag.startswith("--"))):
            yield word.partition("=")[2]


@cache
def _known_keys() -> frozenset[str]:
    """Labels and annotations of the operator's own, as its code spells them."""
    sources = (ROOT / "operator").rglob("*.py")
    written = (re.findall(r"(?:deepseek-operator\.io|\{GROUP\})/([a-z][a-z-]*)", path.read_text()) for path in sources)
    words = (resource.family.word for resource in KINDS.owners if resource.family)
    images = (path.name.partition(".")[0] for path in (ROOT / ".docker").iterdir())
    return frozenset({"v1alpha1", *words, *images, *(key for found in written for key in found)})


_CHECKS: Mapping[str, Callable[[list[str]], Iterator[str]]] = {
    "deepseek-operator": _operator,
    "kubectl-deepseek": _plugin,
    "helm": _helm,
    "tests/run": _tests_run,
    "examples/run": _examples_run,
    "examples/cluster": _cluster,
    "python3": _python,
    "pytest": _pytest,
    "pip": _pip,
    "pipx": _pip,
}


def promql_problems(text: str) -> Iterator[str]:
    """Metrics of ours that a query asks for and nobody tells."""
    asked = re.findall(r"\b(deepseek_[a-z_]+?)(?:_bucket|_sum|_count)?(?=[\s{(\[,)]|$)", text)
    labels = {"deepseek_serving", "deepseek_training", "deepseek_revision", "deepseek_cache"}
    yield from (f"nobody tells {name}" for name in sorted(set(asked) - _told() - labels))


@cache
def _told() -> frozenset[str]:
    """docs/metrics.md has all, and a test holds it to that."""
    rules = yaml.safe_load((ROOT / "charts" / "deepseek-operator" / "alerts.rules.yaml").read_text())["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"] if "record" in rule}
    rows = re.findall(r"(?m)^\| `([a-z_:]+)` \|", (ROOT / "docs" / "metrics.md").read_text())
    return frozenset({*rows, *recorded})
