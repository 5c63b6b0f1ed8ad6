"""`python3 -m deepseek_operator`: argument parsing only."""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from deepseek_operator import __version__
from deepseek_operator.api import crd
from deepseek_operator.cli.commands import add_bench, add_key, add_plan, add_size, add_verbs, refused
from deepseek_operator.kinds.registry import KINDS

CRD_FOLDERS = (Path("crds"), Path("charts/deepseek-operator/files/crds"))
"""Where the generated definitions are kept, relative to the repository."""
CHART = Path("charts/deepseek-operator")
"""The chart, relative to the repository."""
ARGOCD = Path("crds/argocd")
"""What is for Argo CD, relative to the repository."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = parser().parse_args(arguments)
    return int(options.command(options))


def _run(options: Namespace) -> int:
    import uvloop

    from deepseek_operator.adapters.credentials import load
    from deepseek_operator.controller.handlers import operate
    from deepseek_operator.controller.log import log_to_stderr
    from deepseek_operator.controller.memory import give_freed_memory_back, look_for_garbage_seldom
    from deepseek_operator.controller.settings import Settings

    give_freed_memory_back()
    look_for_garbage_seldom()
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        return refused(str(error))
    log_to_stderr(settings.log_level, settings.log_format)
    try:
        uvloop.run(operate(settings, load(settings.kubeconfig), KINDS))
    except Exception as error:
        logging.getLogger(__name__).critical("the operator ends: %s: %s", type(error).__name__, error)
        return 1
    return 0


def _crds(options: Namespace) -> int:
    rendered = crd.render(KINDS.definitions)
    folders = options.out or CRD_FOLDERS
    return _kept({folder / name: text for folder in folders for name, text in rendered.items()}, options.check)


def _chart(options: Namespace) -> int:
    from deepseek_operator.cli.alerts import rules_file
    from deepseek_operator.cli.chart import kinds_file
    from deepseek_operator.cli.dashboards.files import files

    values = yaml.safe_load((options.folder / "values.yaml").read_text())
    alerts = (options.folder / "files" / "alerts.yaml").read_text()
    texts = {
        options.folder / "files" / "kinds.yaml": kinds_file(KINDS),
        options.folder / "alerts.rules.yaml": rules_file(alerts, values["alerts"]),
        **{options.folder / "files" / "dashboards" / path: text for path, text in files(KINDS).items()},
    }
    return _kept(texts, options.check)


def _argocd(options: Namespace) -> int:
    from deepseek_operator.cli.argocd import files

    return _kept({options.folder / path: text for path, text in files(KINDS).items()}, options.check)


def _krew(options: Namespace) -> int:
    from deepseek_operator.cli.krew import Archive, manifest

    try:
        archives = [Archive(*one) for one in options.archive]
        print(manifest(__version__, options.homepage, archives), end="")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _kept(texts: Mapping[Path, str], check: bool) -> int:
    """Writes generated files; with `check` it only says which of them are not as they should be."""
    if check:
        stale = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
        return refused(f"not what the models say: {', '.join(map(str, stale))}") if stale else 0
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def _check(options: Namespace) -> int:
    from deepseek_operator.cli.check import answer

    return answer(options.url)


def _tables(options: Namespace) -> int:
    from deepseek_operator.cli.handbook import with_tables

    for page, made in tables().items():
        file: Path = options.folder / page
        file.write_text(with_tables(page, file.read_text(), made))
    return 0


def tables() -> Mapping[str, Mapping[str, str]]:
    """All that is generated in docs/, by page and by the name in its markers; that of commands needs both programs' parsers."""
    from deepseek_operator.cli import handbook, kubectl, reference

    commands = {
        "deepseek-operator": reference.commands(parser()),
        "kubectl-deepseek": reference.commands(kubectl.parser()),
    }
    return {**{page: made(KINDS) for page, made in handbook.PAGES.items()}, "commands.md": commands}


def _add_krew(commands: "_SubParsersAction[ArgumentParser]") -> None:
    krew = commands.add_parser(
        "krew", help="print the manifest by which krew installs kubectl deepseek from archives that you host"
    )
    krew.add_argument(
        "--archive", nargs=3, action="append", required=True, metavar=("OS/ARCH", "URL", "SHA256"),
        help="of one platform, for example linux/amd64; may be given several times",
    )  # fmt: skip
    krew.add_argument("--homepage", required=True, metavar="URL", help="of what is installed")
    krew.set_defaults(command=_krew)


def parser() -> ArgumentParser:
    """Of the whole command line."""
    made = ArgumentParser(prog="deepseek-operator", description="Kubernetes operator for the DeepSeek model family.")
    made.add_argument("--version", action="version", version=__version__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="reconcile until SIGTERM; configured by DEEPSEEK_OPERATOR_* variables")
    run.set_defaults(command=_run)
    crds = commands.add_parser("crds", help="write the CustomResourceDefinitions")
    crds.add_argument("--check", action="store_true", help="write nothing; fail if the files differ from the models")
    crds.add_argument(
        "--out", type=Path, action="append", metavar="FOLDER", help="folder (default: both of the repository)"
    )
    crds.set_defaults(command=_crds)
    chart = commands.add_parser(
        "chart",
        help="renew what the chart takes from the list of kinds (rights, monitors, dashboards), and the plain file of its alerts",
    )
    chart.add_argument("--check", action="store_true", help="write nothing; fail if the files differ")
    chart.add_argument("folder", type=Path, nargs="?", default=CHART, metavar="FOLDER", help="the chart")
    chart.set_defaults(command=_chart)
    argocd = commands.add_parser("argocd", help="renew what Argo CD is told of each kind: health and actions")
    argocd.add_argument("--check", action="store_true", help="write nothing; fail if the files differ")
    argocd.add_argument("folder", type=Path, nargs="?", default=ARGOCD, metavar="FOLDER", help="where they are kept")
    argocd.set_defaults(command=_argocd)
    _add_krew(commands)
    add_plan(commands)
    check = commands.add_parser(
        "check",
        help="ask for up to a minute whether an operator leads and hears, by its metrics; exit status 0: it does",
    )
    check.add_argument("url", metavar="URL", help="of its /metrics")
    check.set_defaults(command=_check)
    pages = commands.add_parser(
        "tables",
        help="renew the tables in docs/: reasons, fields, values, commands, engines, trainers, metrics, dashboards",
    )
    pages.add_argument("folder", type=Path, nargs="?", default=Path("docs"), metavar="FOLDER", help="where they are")
    pages.set_defaults(command=_tables)
    add_size(commands)
    add_key(commands)
    add_verbs(commands)
    add_bench(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
