"""`python3 -m deepseek_operator`: argument parsing only."""

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from deepseek_operator import __version__
from deepseek_operator.api import crd
from deepseek_operator.domain.programs.engines.table import RECOMMENDED, memory_lines
from deepseek_operator.kinds.registry import KINDS

if TYPE_CHECKING:
    from deepseek_operator.cli.size import Question
    from deepseek_operator.controller.profiles import Offer

CRD_FOLDERS = (Path("crds"), Path("charts/deepseek-operator/files/crds"))
"""Where the generated definitions are kept, relative to the repository."""
CHART = Path("charts/deepseek-operator")
"""The chart, relative to the repository."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.command(options))


def _run(options: Namespace) -> int:
    import uvloop

    from deepseek_operator.adapters.credentials import load
    from deepseek_operator.controller.handlers import operate
    from deepseek_operator.controller.log import log_to_stderr
    from deepseek_operator.controller.settings import Settings

    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        return _refused(str(error))
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
    from deepseek_operator.cli.chart import kinds_file, with_health_of
    from deepseek_operator.cli.dashboards.files import files

    values = yaml.safe_load((options.folder / "values.yaml").read_text())
    alerts = (options.folder / "files" / "alerts.yaml").read_text()
    health = options.folder / "argocd-health.yaml"
    texts = {
        options.folder / "files" / "kinds.yaml": kinds_file(KINDS),
        health: with_health_of(health.read_text(), KINDS),
        options.folder / "alerts.rules.yaml": rules_file(alerts, values["alerts"]),
        **{options.folder / "files" / "dashboards" / path: text for path, text in files(KINDS).items()},
    }
    return _kept(texts, options.check)


def _kept(texts: Mapping[Path, str], check: bool) -> int:
    """Writes generated files; with `check` it only says which of them are not as they should be."""
    if check:
        stale = [path for path, text in texts.items() if not path.is_file() or path.read_text() != text]
        return _refused(f"not what the models say: {', '.join(map(str, stale))}") if stale else 0
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def _plan(options: Namespace) -> int:
    from deepseek_operator.cli import planning
    from deepseek_operator.core.configuration import Configuration

    try:
        wanted = planning.read(options.file, _text)
        seen = planning.read([options.seen], _text) if options.seen else None
        offer = _offer(options.profiles)
        configuration = Configuration(profiles=offer.profiles, host_access=offer.host_access)
        answer = asyncio.run(planning.planned(wanted, seen, configuration, KINDS))
    except RecursionError:
        return _refused("the file is nested too deeply to be read")
    except (yaml.YAMLError, ValueError, KeyError, OSError) as error:
        return _refused(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    print(planning.rendered(answer, options.output), end="")
    for line in answer.complaints:
        print(line, file=sys.stderr)
    return 0 if answer.is_made else 1


def _check(options: Namespace) -> int:
    from deepseek_operator.cli.check import answer

    return answer(options.url)


def _tables(options: Namespace) -> int:
    from deepseek_operator.cli.handbook import PAGES, renewed

    for page in PAGES:
        file: Path = options.folder / page
        file.write_text(renewed(page, file.read_text(), KINDS))
    return 0


def _size(options: Namespace) -> int:
    from deepseek_operator.cli.size import answer, listing

    try:
        profiles = _offer(options.profiles).profiles
        if options.list:
            print(listing(profiles), end="")
            return 0
        if options.model is None or options.accelerator is None:
            return _wrong("write a model and --accelerator; --list shows both")
        found = answer(_question(options), profiles)
    except RecursionError:
        return _wrong("the file of profiles is nested too deeply to be read")
    except (LookupError, ValueError, OSError, yaml.YAMLError) as error:
        return _wrong(str(error.args[0]) if isinstance(error, LookupError) else str(error))
    print(found.json() if options.output == "json" else found.text, end="")
    return 0 if found.fits else 1


def _key(options: Namespace) -> int:
    from deepseek_operator.cli import key_command

    return _by_kubeconfig(key_command.answer(options))


def _run_command(options: Namespace) -> int:
    from deepseek_operator.cli import run_command

    try:
        return _by_kubeconfig(run_command.answer(options, KINDS))
    except KeyboardInterrupt:
        return 0


def _by_kubeconfig(answer: Coroutine[object, object, int]) -> int:
    """The exit status of a command that asks a cluster, or of its refusal."""
    from kubernetes.config import ConfigException

    from deepseek_operator.ports.cluster import ClusterError

    try:
        return asyncio.run(answer)
    except (ValueError, OSError, ClusterError, ConfigException) as error:
        return _refused(str(error))


def _question(options: Namespace) -> "Question":
    from deepseek_operator.cli.size import Question, config_of, method_of
    from deepseek_operator.domain.sizing.training_state import Precision

    trains = options.train or (options.method is not None and not options.serve)
    given = {
        name: value
        for name in ("sequence", "quantization", "gpus", "nodes", "engine", "concurrency", "global_batch", "tokens")
        if (value := getattr(options, name)) is not None
    }
    config = config_of(_text(options.model), options.model) if options.model.endswith(".json") else None
    return Question(
        model=options.model,
        accelerator=options.accelerator,
        config=config,
        method=method_of(options.method or "Full") if trains else None,
        precision=Precision(options.precision),
        fused_loss=options.fused_loss,
        **given,
    )


def _offer(file: str | None) -> "Offer":
    from deepseek_operator.controller.profiles import Offer, profiles_from_text

    return profiles_from_text(_text(file)) if file else Offer()


def _text(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text()


def _wrong(question: str) -> int:
    """A question that can't be answered: 2, as argparse has it, since 1 is the answer that it does not fit."""
    print(question, file=sys.stderr)
    return 2


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
    chart = commands.add_parser(
        "chart",
        help="renew what the chart takes from the list of kinds (rights, monitors, health, dashboards), and the plain file of its "
        "alerts",
    )
    chart.add_argument("--check", action="store_true", help="write nothing; fail if the files differ")
    chart.add_argument("folder", type=Path, nargs="?", default=CHART, metavar="FOLDER", help="the chart")
    chart.set_defaults(command=_chart)
    _add_plan(commands)
    check = commands.add_parser(
        "check",
        help="ask for up to a minute whether an operator leads and hears, by its metrics; exit status 0: it does",
    )
    check.add_argument("url", metavar="URL", help="of its /metrics")
    check.set_defaults(command=_check)
    tables = commands.add_parser("tables", help="renew the tables of reasons, engines, trainers and metrics in docs/")
    tables.add_argument("folder", type=Path, nargs="?", default=Path("docs"), metavar="FOLDER")
    tables.set_defaults(command=_tables)
    _add_size(commands)
    _add_key(commands)
    _add_run_commands(commands)
    return parser


def _add_plan(commands: "_SubParsersAction[ArgumentParser]") -> None:
    plan = commands.add_parser(
        "plan",
        help="show what would be made of resources in a file, without a cluster",
        description="Answers as the API server and the operator would. Exit status 0: all of it would be made; 1: something "
        "is refused, would be Stalled, or can't be read; 2: wrong usage.",
    )
    plan.add_argument(
        "-f",
        "--file",
        required=True,
        action="append",
        metavar="FILE",
        help="YAML or JSON with resources, a folder of such files, or - for standard input; may be given several times",
    )
    plan.add_argument(
        "-o", "--output", choices=("text", "yaml", "json"), default="text", help="form of the answer; default text"
    )
    plan.add_argument(
        "--seen",
        metavar="FILE",
        help="YAML with all that the cluster has already; without it, what is referred to is assumed",
    )
    plan.add_argument(
        "--profiles",
        metavar="FILE",
        help="YAML with what an administrator decides, as in the chart's values: profiles, hostAccess",
    )
    plan.set_defaults(command=_plan)


def _add_key(commands: "_SubParsersAction[ArgumentParser]") -> None:
    key = commands.add_parser("key", help="make, list and revoke API keys of the gateway, by your kubeconfig")
    verbs = key.add_subparsers(required=True, metavar="VERB", dest="verb")
    new = verbs.add_parser("new", help="make a key and print it, once: the cluster gets its SHA-256 alone")
    new.add_argument(
        "--serving",
        dest="servings",
        action="append",
        required=True,
        metavar="NAME",
        help="a name, model or alias that the key is for; may be given several times; '*': all of the namespace",
    )
    new.add_argument("--expires", default="90d", metavar="TIME", help="90d (the default), 12h, 30m or never")
    new.add_argument("--revision", metavar="NAME", help="the one revision that shall answer")
    new.add_argument("--limits", metavar="CLASS", help="class of limits, as the gateway's policy names it")
    new.add_argument(
        "-o",
        "--output",
        choices=("yaml",),
        help="write nothing to the cluster: print the ConfigMap, and the key to stderr",
    )
    revoke = verbs.add_parser("revoke", help="take a key away; it is worth nothing within 5 s")
    for verb in (new, revoke):
        verb.add_argument("name", metavar="NAME", help="of the client, as logs and limits know it")
    for verb in (new, revoke, verbs.add_parser("list", help="show all keys, without their digests")):
        _add_place(verb)
    key.set_defaults(command=_key)


def _add_place(parser: ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="default: that of your kubeconfig")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, else ~/.kube/config")


_RUN_COMMANDS = {
    "watch": "print where a version that is tried stands, at every change, until the run is over",
    "promote": "end the present step of a canary run",
    "pause": "keep a canary run at its step",
    "resume": "let a canary run go on that was paused",
    "rollback": "go back to a kept revision; without one, to the stable one of the run",
    "follow": "end a rollback: run what the spec asks for",
}


def _add_run_commands(commands: "_SubParsersAction[ArgumentParser]") -> None:
    for verb, what in _RUN_COMMANDS.items():
        parser = commands.add_parser(verb, help=f"{what}; by your kubeconfig")
        parser.add_argument("name", metavar="NAME", help="of the resource whose version is tried")
        if verb in ("promote", "pause", "rollback"):
            parser.add_argument("revision", metavar="REVISION", nargs="?", help="as status.revisions lists it")
        if verb == "watch":
            parser.add_argument("--once", action="store_true", help="print it once")
        _add_place(parser)
        parser.set_defaults(command=_run_command, verb=verb)


def _add_size(commands: "_SubParsersAction[ArgumentParser]") -> None:
    size = commands.add_parser("size", help="how many devices a model needs, how it lies on them, and how fast it is")
    size.add_argument("model", nargs="?", metavar="MODEL", help="name in the catalogue, or a config.json")
    size.add_argument("--list", action="store_true", help="list the models and accelerators that can be asked for")
    size.add_argument("--accelerator", metavar="NAME", help="profile, for example h200 or nvidia-a100-80")
    size.add_argument("--profiles", metavar="FILE", help="YAML with an administrator's profiles")
    what = size.add_mutually_exclusive_group()
    what.add_argument("--serve", action="store_true", help="size one replica (the default without --method)")
    what.add_argument("--train", action="store_true", help="size a training (the default with --method)")
    size.add_argument(
        "--method", metavar="METHOD", help="what is trained: Full, LoRA, QLoRA, PromptTuning, PTuning, in any case"
    )
    size.add_argument(
        "-o",
        "--output",
        choices=("text", "json"),
        default="text",
        help="text (default) or json, with every number; exit status 0: it fits, 1: it does not, 2: the question is wrong",
    )
    size.add_argument("--precision", choices=("fp32", "bf16", "pure-bf16", "fp8"), default="bf16", help="of a training")
    size.add_argument("--engine", choices=tuple(memory_lines()), help=f"default {RECOMMENDED.type}")
    size.add_argument("--quantization", metavar="FORMAT", help="weights as served, or a frozen base: fp8, awq, …")
    size.add_argument("--sequence-length", dest="sequence", type=int, metavar="TOKENS", help="context or sequence")
    size.add_argument("--concurrency", type=int, metavar="N", help="full contexts that a replica must hold; default 1")
    size.add_argument("--global-batch-size", dest="global_batch", type=int, metavar="N", help="sequences per step")
    size.add_argument("--fused-loss", action="store_true", help="the trainer never holds all logits (Liger, CCE)")
    size.add_argument("--tokens", type=int, metavar="N", help="tokens to train on, for the duration")
    size.add_argument("--gpus", type=int, metavar="N", help="devices in all; default the fewest that fit")
    size.add_argument("--nodes", type=int, metavar="N", help="nodes; default as many as it takes")
    size.set_defaults(command=_size)


if __name__ == "__main__":
    sys.exit(main())
