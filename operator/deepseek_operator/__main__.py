"""`python3 -m deepseek_operator`: argument parsing only."""

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from deepseek_operator import __version__
from deepseek_operator.api import crd
from deepseek_operator.core.resources import SERVING, TRAINING

CRD_FOLDERS = (Path("crds"), Path("charts/deepseek-operator/files/crds"))
"""Where the generated definitions are kept, relative to the repository."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.command(options))


def _run(options: Namespace) -> int:
    from deepseek_operator.adapters.credentials import load
    from deepseek_operator.runtime.handlers import operate
    from deepseek_operator.runtime.settings import Settings

    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        return _refused(str(error))
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(operate(settings, load(settings.kubeconfig)))
    except Exception as error:
        logging.getLogger(__name__).critical("the operator ends: %s: %s", type(error).__name__, error)
        return 1
    return 0


def _crds(options: Namespace) -> int:
    rendered = crd.render()
    folders = options.out or CRD_FOLDERS
    paths = {folder / name: text for folder in folders for name, text in rendered.items()}
    if options.check:
        stale = [path for path, text in paths.items() if not path.is_file() or path.read_text() != text]
        return _refused(f"not what the models say: {', '.join(map(str, stale))}") if stale else 0
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def _plan(options: Namespace) -> int:
    from deepseek_operator.core.configuration import Configuration
    from deepseek_operator.runtime.rehearsal import documents_of, rehearse, told

    try:
        documents = documents_of(_text(options.file))
        existing = documents_of(_text(options.seen)) if options.seen else ()
        kinds = {TRAINING.kind, SERVING.kind}
        wanted = [document for document in documents if document["kind"] in kinds]
        others = [document for document in documents if document["kind"] not in kinds]
        print(told(asyncio.run(rehearse(wanted, [*existing, *others], Configuration()))), end="")
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return _refused("\n".join(problems))
    except (yaml.YAMLError, ValueError, KeyError, OSError) as error:
        return _refused(f"{type(error).__name__}: {error}")
    return 0


def _text(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text()


def _refused(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="deepseek-operator", description="Kubernetes operator for the DeepSeek model family.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="reconcile until SIGTERM; configured by DEEPSEEK_OPERATOR_* variables")
    run.set_defaults(command=_run)
    crds = commands.add_parser("crds", help="write the CustomResourceDefinitions")
    crds.add_argument("--check", action="store_true", help="write nothing; fail if the files differ from the models")
    crds.add_argument(
        "--out", type=Path, action="append", metavar="FOLDER", help="folder (default: both of the repository)"
    )
    crds.set_defaults(command=_crds)
    plan = commands.add_parser("plan", help="show what would be made of resources in a file, without a cluster")
    plan.add_argument("-f", "--file", required=True, metavar="FILE", help="YAML with resources; - for standard input")
    plan.add_argument("--seen", metavar="FILE", help="YAML with objects that the cluster has already")
    plan.set_defaults(command=_plan)
    return parser


if __name__ == "__main__":
    sys.exit(main())
