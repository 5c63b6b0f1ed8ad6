"""Every fenced block of README and docs/ is checked by what its language is, or says above it who runs it or why nobody does."""

import json

import pytest

from tests.support import doc_commands, doc_manifests
from tests.support.doc_blocks import PAGES, ROOT, Block, all_blocks, blocks, indented, typed

BLOCKS = all_blocks()
HOW = "CONTRIBUTING.md says how a block is written"
UNCHECKED = frozenset({"text", "lua", "nginx", "javascript", "python", "http"})
"""Output, drawings, and pieces of files that have tests of their own."""


def _promql(text: str) -> str:
    """Queries that stand in comments of commands."""
    return "\n".join(line for line in text.splitlines() if line.startswith("#"))


def problems(block: Block) -> list[str]:
    """What is wrong with a block; a mark is an answer to all but a wrong mark."""
    if block.run_by:
        return [told for told in [doc_commands.test_problem(block.run_by)] if told]
    if block.not_run:
        return [] if len(block.not_run.split()) > 2 else ["say in a few words why nothing runs it"]
    match block.language:
        case "bash":
            return [*doc_commands.problems(block.text), *doc_commands.promql_problems(_promql(block.text))]
        case "console":
            shown = typed(block)
            return list(doc_commands.problems(shown)) if shown.strip() else ["a console has a line that begins with $"]
        case "yaml":
            return list(doc_manifests.problems(block.text))
        case "promql":
            return list(doc_commands.promql_problems(block.text))
        case "json":
            return list(_json_problems(block.text))
        case language if language in UNCHECKED:
            hidden = block.text.startswith(("$ ", "kubectl ", "helm ", "deepseek-operator "))
            return ["commands stand in bash or console"] if hidden else []
        case language:
            return [f"no language {language!r} is known here"]


def _json_problems(text: str) -> list[str]:
    try:
        json.loads(text)
    except ValueError:
        try:
            [json.loads(line) for line in text.splitlines() if line]
        except ValueError as error:
            return [f"is no JSON: {error}"]
    return []


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_right_or_says_who_runs_it(block: Block) -> None:
    assert problems(block) == [], HOW


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_stands_in_fences(page: object) -> None:
    assert list(indented(page.read_text())) == [], f"write it between fences, with a language; {HOW}"  # type: ignore[attr-defined]


def test_there_are_blocks_of_every_language_that_is_checked() -> None:
    assert {"bash", "console", "yaml", "promql", "json"} <= {block.language for block in BLOCKS}


def _block(language: str, text: str) -> Block:
    return Block("x.md", 1, language, text)


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("bash", "kubectl deepseek statsu x\n", "invalid choice"),
        ("bash", "deepseek-operator watch NAME --oncee\n", "unrecognized arguments"),
        ("bash", "deepseek-operator size deepseek-r99 --accelerator h100\n", "deepseek-r99"),
        ("bash", "deepseek-operator plan -f examples/nosuch.yaml\n", "No such file"),
        ("bash", "kubectl apply -f examples/nosuch.yaml\n", "is not there"),
        ("bash", "kubectl aply -f x.yaml\n", "kubectl has no aply"),
        ("bash", "kubectl get dst NAME -o jsonpath='{.status.progres.step}'\n", "no DeepSeekTraining has"),
        ("bash", "kubectl get dst,dss -o jsonpath='{.status.nosuch}'\n", "no DeepSeekServing or DeepSeekTraining has"),
        ("bash", "kubectl get pods -l deepseek-operator.io/trainings=x\n", "nothing writes or reads"),
        ("bash", "helm upgrade a charts/deepseek-operator --set nosuch.enabled=true\n", "the chart has no value nosuch"),
        ("bash", "helm upgrade a charts/deepseek-operator --set replicas=0\n", "greater than or equal to 1"),
        ("bash", "helm upgrad a charts/deepseek-operator\n", "helm has no upgrad"),
        ("bash", "tests/run fsat\n", "has no layer fsat"),
        ("bash", "examples/cluster upp\n", "invalid choice"),
        ("bash", "pytest tests/unit/test_nosuch.py\n", "is not there"),
        ("bash", "pip install '.[plotting]'\n", "has no plotting"),
        ("bash", "frobnicate --all\n", "nobody knows frobnicate"),
        ("bash", 'x="$(kubectl deepseek statsu)"\n', "invalid choice"),
        ("bash", "if true; then\n", "bash does not read it"),
        ("bash", "# PromQL: deepseek_operator_training_losss > 1\n", "nobody tells deepseek_operator_training_losss"),
        ("console", "$ kubectl deepseek statsu x\nthere is no\n", "invalid choice"),
        ("console", "there is no command\n", "begins with $"),
        ("promql", "rate(deepseek_cache_request_total[5m])\n", "nobody tells"),
        ("json", '{"a": 1,}\n', "no JSON"),
        ("yaml", "autoscaling: {minReplicas: 1, maxReplicaas: 3}\n", 'unknown field "spec.autoscaling.maxReplicaas"'),
        ("yaml", "canary: {steps: [{replicas: 1, bakeSeconds: soon}]}\n", "must be of type integer"),
        ("yaml", "- {type: Accuracy, data: 'builtin://uppercase', samples: 0}\n", "samples"),
        ("yaml", "nosuch: {a: 1}\n", "no part of a spec"),
        ("yaml", "externalMetrics: {enabled: 7}\n", "must be of type boolean"),
        ("yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-nobody}\n", "word for word"),
        ("yaml", "a: [1\n", "no YAML"),
        ("text", "$ kubectl get dst\n", "commands stand in bash"),
        ("shell", "ls\n", "no language 'shell'"),
        ("", "ls\n", "no language ''"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(language: str, text: str, told: str) -> None:
    found = problems(_block(language, text))
    assert len(found) == 1
    assert told in found[0]


def test_a_whole_resource_is_judged_as_the_server_and_the_operator_would() -> None:
    text = (ROOT / "examples" / "serving-autoscaling.yaml").read_text()
    assert problems(_block("yaml", text)) == []
    assert "is invalid" in problems(_block("yaml", text.replace("maxReplicas: ", "maxReplicas: -")))[0]


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ({"run_by": "tests/unit/test_doc_blocks.py::test_a_mark_must_name_a_test_or_a_reason"}, []),
        (
            {"run_by": "tests/unit/test_doc_blocks.py::test_nosuch"},
            ["tests/unit/test_doc_blocks.py has no test_nosuch"],
        ),
        ({"run_by": "tests/e2e/test_nosuch.py"}, ["tests/e2e/test_nosuch.py is not there"]),
        ({"run_by": "README.md"}, ["README.md: write tests/…::test_…"]),
        ({"not_run": "it needs a GPU"}, []),
        ({"not_run": "later"}, ["say in a few words why nothing runs it"]),
    ],
)
def test_a_mark_must_name_a_test_or_a_reason(mark: dict[str, str], told: list[str]) -> None:
    assert problems(Block("x.md", 1, "bash", "frobnicate\n", **mark)) == told


def test_blocks_are_found_with_their_marks_and_without_their_indentation() -> None:
    text = (
        "a\n\n<!-- not run: it needs a GPU -->\n```bash\nls\n```\n- b\n  ```yaml\n  a: 1\n  ```\n````text\n```\n````\n"
    )
    found = [(one.line, one.language, one.text, one.not_run) for one in blocks("x.md", text)]
    assert found == [(4, "bash", "ls\n", "it needs a GPU"), (8, "yaml", "a: 1\n", ""), (11, "text", "```\n", "")]


@pytest.mark.parametrize(
    ("text", "told"),
    [("```bash\nls\n", "not closed"), ("<!-- not run: a b c -->\n\n```bash\nls\n```\n", "over no block")],
)
def test_a_block_that_is_cut_off_or_a_mark_of_none_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        list(blocks("x.md", text))


def test_what_is_indented_alone_is_found_and_lists_are_not() -> None:
    assert list(indented("a\n\n    ls\n\n- b\n\n    - c\n\n    of b\n\n```text\n\n    d\n```\n")) == [3]
    assert list(indented("- b\n\n    of b\n\nc\n\n    ls\n\n- d\n\n        ls\n")) == [7, 11]
