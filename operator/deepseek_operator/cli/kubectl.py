"""`kubectl deepseek`: argument parsing only. kubectl finds it by the name of the console script, `kubectl-deepseek`."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Sequence
from pathlib import Path

from deepseek_operator import __version__
from deepseek_operator.cli.commands import add_bench, add_key, add_place, add_plan, add_size, add_verbs, by_kubeconfig
from deepseek_operator.kinds.registry import KINDS

_NAME = "of the object, or KIND/NAME where two kinds have one of that name"
_ENDS = "Exit status 0: done, or it is so; 1: it is not (refused, not found, ended badly), and standard error says why; 2: wrong usage."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = parser().parse_args(arguments)
    return int(options.command(options))


def parser() -> ArgumentParser:
    """Of the whole command line."""
    made = ArgumentParser(
        prog="kubectl deepseek", description="Looks at trainings and servings, and acts on them.", epilog=_ENDS
    )
    made.add_argument("--version", action="version", version=__version__)
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    _add_status(commands)
    _add_top(commands)
    _add_logs(commands)
    _add_plot(commands)
    _add_report(commands)
    _add_ui(commands)
    add_verbs(commands)
    add_bench(commands)
    add_key(commands)
    add_size(commands)
    add_plan(commands)
    return made


def _add_status(commands: "_SubParsersAction[ArgumentParser]") -> None:
    status = commands.add_parser(
        "status", help="where an object stands, its children, and what to do next; or all of them"
    )
    status.add_argument("name", nargs="?", metavar="NAME", help=f"{_NAME}; without one: all")
    _add_scope(status)
    _add_output(status)
    status.set_defaults(command=_status)


def _add_top(commands: "_SubParsersAction[ArgumentParser]") -> None:
    top = commands.add_parser("top", help="how far and how fast all are, and who holds which devices")
    _add_scope(top)
    _add_output(top)
    top.set_defaults(command=_top)


def _add_logs(commands: "_SubParsersAction[ArgumentParser]") -> None:
    logs = commands.add_parser("logs", help="the log of the pod that failed first; of the first pod where none has")
    logs.add_argument("name", metavar="NAME", help=_NAME)
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is written")
    which = logs.add_mutually_exclusive_group()
    which.add_argument("--attempt", type=int, metavar="N", help="default: the newest that has a pod that failed")
    which.add_argument("--pod", metavar="POD", help="this pod, whether it failed or not")
    logs.add_argument("-c", "--container", metavar="NAME", help="default: the one that failed")
    logs.add_argument("-p", "--previous", action="store_true", help="of the container's start before the present one")
    logs.add_argument("--tail", type=int, metavar="LINES", help="the last of them alone")
    add_place(logs)
    logs.set_defaults(command=_logs)


def _add_plot(commands: "_SubParsersAction[ArgumentParser]") -> None:
    plot = commands.add_parser(
        "plot", help="a training's loss with its restarts; a serving's replicas and load, by a Prometheus"
    )
    plot.add_argument("name", metavar="NAME", help=_NAME)
    plot.add_argument("--png", type=Path, metavar="FILE", help="write a picture instead of characters")
    plot.add_argument(
        "--file", type=numbered, action="append", default=[], metavar="N=FILE",
        help="metrics.jsonl of attempt N, copied from the checkpoint claim, in place of its log; may be given several times",
    )  # fmt: skip
    plot.add_argument(
        "--prometheus", metavar="WHERE", help="http://HOST:PORT, or NAMESPACE/SERVICE:PORT through the API server"
    )
    plot.add_argument("--since", default="1h", metavar="TIME", help="30m, 6h, 2d; default 1h")
    plot.add_argument("--width", type=int, metavar="COLUMNS", help="default: the terminal's")
    add_place(plot)
    _add_output(plot)
    plot.set_defaults(command=_plot)


def _add_report(commands: "_SubParsersAction[ArgumentParser]") -> None:
    report = commands.add_parser(
        "report", help="everything for a bug report as an archive, without secrets and prompts"
    )
    report.add_argument("name", metavar="NAME", help=_NAME)
    report.add_argument(
        "--out", metavar="FILE", help="default: NAME-report-TIME.tar.gz here; one that is there is kept"
    )
    add_place(report)
    report.set_defaults(command=_report)


def _add_ui(commands: "_SubParsersAction[ArgumentParser]") -> None:
    ui = commands.add_parser("ui", help="the same as pages for a browser on this machine, read only")
    ui.add_argument("--port", type=int, default=0, metavar="PORT", help="default: any that is free")
    _add_scope(ui)
    ui.set_defaults(command=_ui)


def numbered(text: str) -> tuple[int, Path]:
    """`2=metrics.jsonl`: the file of an attempt. Raises ArgumentTypeError for other texts."""
    number, equals, file = text.partition("=")
    if not equals or not number.isdecimal():
        raise ArgumentTypeError(f"{text!r}: write the attempt's number, = and its file, as in 1=metrics.jsonl")
    return int(number), Path(file)


def _add_scope(parser: ArgumentParser) -> None:
    add_place(parser)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of every namespace")


def _add_output(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="for programs; default: a text for people")


def _status(options: Namespace) -> int:
    from deepseek_operator.cli import look

    return by_kubeconfig(look.status(options, KINDS))


def _top(options: Namespace) -> int:
    from deepseek_operator.cli import look

    return by_kubeconfig(look.top(options, KINDS))


def _plot(options: Namespace) -> int:
    from deepseek_operator.cli import plot

    return by_kubeconfig(plot.answer(options, KINDS))


def _ui(options: Namespace) -> int:
    from deepseek_operator.cli import ui

    return by_kubeconfig(ui.answer(options, KINDS))


def _report(options: Namespace) -> int:
    from deepseek_operator.cli import report

    return by_kubeconfig(report.answer(options, KINDS))


def _logs(options: Namespace) -> int:
    from deepseek_operator.cli import look

    return by_kubeconfig(look.logs(options, KINDS))


if __name__ == "__main__":
    sys.exit(main())
