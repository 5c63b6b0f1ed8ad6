"""The commands that `deepseek-operator` and `kubectl deepseek` have in common: their arguments, and what runs them.

Exit statuses are the same everywhere: 0 it is so, 1 it is not (refused, not found, does not fit, ended badly), with the reason
on standard error, and 2 wrong usage.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from deepseek_operator.domain.programs.engines.table import RECOMMENDED, memory_lines
from deepseek_operator.kinds.registry import KINDS

if TYPE_CHECKING:
    from deepseek_operator.cli.size import Question
    from deepseek_operator.controller.profiles import Offer


def add_plan(commands: "_SubParsersAction[ArgumentParser]") -> None:
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
        help="YAML with what an administrator decides, as in the chart's values: profiles, hostAccess, sources.web",
    )
    plan.set_defaults(command=_plan)


def _plan(options: Namespace) -> int:
    from deepseek_operator.cli import planning
    from deepseek_operator.core.configuration import Configuration

    try:
        wanted = planning.read(options.file, _text)
        seen = planning.read([options.seen], _text) if options.seen else None
        offer = _offer(options.profiles)
        configuration = Configuration(profiles=offer.profiles, host_access=offer.host_access, web=offer.web)
        answer = asyncio.run(planning.planned(wanted, seen, configuration, KINDS))
    except RecursionError:
        return refused("the file is nested too deeply to be read")
    except (yaml.YAMLError, ValueError, KeyError, OSError) as error:
        return refused(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    print(planning.rendered(answer, options.output), end="")
    for line in answer.complaints:
        print(line, file=sys.stderr)
    return 0 if answer.is_made else 1


def add_size(commands: "_SubParsersAction[ArgumentParser]") -> None:
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


def add_key(commands: "_SubParsersAction[ArgumentParser]") -> None:
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
        add_place(verb)
    key.set_defaults(command=_key)


def _key(options: Namespace) -> int:
    from deepseek_operator.cli import key_command

    return by_kubeconfig(key_command.answer(options))


_VERBS = {
    "watch": "print where it stands at every change, until a training has ended or a canary run is over",
    "suspend": "stop it: a training saves a checkpoint first, a serving answers what it has begun",
    "resume": "let go on what was suspended, and a canary run that was paused",
    "promote": "end the present step of a canary run",
    "pause": "keep a canary run at its step",
    "rollback": "go back to a kept revision; without one, to the stable one of the run",
    "follow": "end a rollback: run what the spec asks for",
}


def add_verbs(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """`watch`, and what changes one object by your kubeconfig."""
    for verb, what in _VERBS.items():
        parser = commands.add_parser(verb, help=f"{what}; by your kubeconfig")
        parser.add_argument("name", metavar="NAME", help="of the object, or KIND/NAME")
        if verb in ("promote", "pause", "rollback"):
            parser.add_argument("revision", metavar="REVISION", nargs="?", help="as status.revisions lists it")
        if verb == "watch":
            parser.add_argument("--once", action="store_true", help="print it once")
        add_place(parser)
        parser.set_defaults(command=_verb, verb=verb)


def _verb(options: Namespace) -> int:
    from deepseek_operator.cli import verbs

    return by_kubeconfig(verbs.answer(options, KINDS))


def add_bench(commands: "_SubParsersAction[ArgumentParser]") -> None:
    """Measures one replica by a Job of its own, with your kubeconfig."""
    bench = commands.add_parser(
        "bench",
        help="load one replica to find how many requests at a time it answers in time, and propose targets for autoscaling",
        description="Makes a Job that loads one replica of a serving until an objective is broken. Exit status 0: a concurrency "
        "was found; 1: none, or it was not measured; 2: wrong usage.",
    )
    bench.add_argument("name", metavar="NAME", help="of the object, or KIND/NAME")
    limit = "milliseconds; default: as autoscaling has it, else 500 until the first token"
    bench.add_argument("--first-token", type=_count, metavar="MS", help=f"limit until the first token, in {limit}")
    bench.add_argument("--inter-token", type=_count, metavar="MS", help="limit between two tokens")
    bench.add_argument("--end-to-end", type=_count, metavar="MS", help="limit until the last token")
    bench.add_argument(
        "--quantile", type=_quantile, metavar="SHARE", help="share of requests within the limits; default 0.99"
    )
    bench.add_argument("--prompt-words", type=_count, metavar="N", help="words of a prompt; default 256")
    bench.add_argument(
        "--answer-tokens", type=_count, metavar="N", help="tokens of an answer, in the mean; default 128"
    )
    bench.add_argument("--max-concurrency", type=_count, metavar="N", help="never more requests at a time; default 256")
    bench.add_argument(
        "--load-seconds", type=_count, metavar="S", help="longest time with one number of them; default 600"
    )
    bench.add_argument(
        "--headroom", type=_percent, default=20, metavar="PERCENT", help="how far targets lie below; default 20"
    )
    bench.add_argument("--model", metavar="MODEL", help="that is asked for, an adapter for example; default: the first")
    bench.add_argument("--image", metavar="IMAGE", help="the operator's runtime image, where the pods do not tell it")
    bench.add_argument("--among-others", action="store_true", help="go on although others ask the same replica")
    bench.add_argument("-y", "--yes", action="store_true", help="do not ask before the load begins")
    bench.add_argument("--last", action="store_true", help="load nothing: tell what the last bench found, for a day")
    bench.add_argument(
        "-o", "--output", choices=("json", "patch"), help="for programs; patch: for Kustomize or kubectl patch"
    )
    add_place(bench)
    bench.set_defaults(command=_bench)


def _bench(options: Namespace) -> int:
    from deepseek_operator.cli import bench

    return by_kubeconfig(bench.answer(options, KINDS))


def _count(text: str) -> int:
    """Raises ArgumentTypeError."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000:
        return int(text)
    raise ArgumentTypeError(f"{text!r}: write a whole number, 1 to 1000000")


def _percent(text: str) -> int:
    """Raises ArgumentTypeError."""
    if text.isascii() and text.isdigit() and int(text) <= 90:
        return int(text)
    raise ArgumentTypeError(f"{text!r}: write percent, 0 to 90")


def _quantile(text: str) -> str:
    """Raises ArgumentTypeError."""
    try:
        if 0.5 <= float(text) <= 0.999:
            return f"{float(text):g}"
    except ValueError:
        pass
    raise ArgumentTypeError(f"{text!r}: write 0.5 to 0.999, for example 0.95")


def add_place(parser: ArgumentParser) -> None:
    """Where: namespace, kubeconfig and context."""
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="default: that of your kubeconfig")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, else ~/.kube/config")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig; default: its current one")


def by_kubeconfig(answer: Coroutine[object, object, int]) -> int:
    """The exit status of a command that asks a cluster, or of its refusal."""
    from kubernetes.config import ConfigException

    from deepseek_operator.ports.cluster import ClusterError

    try:
        return asyncio.run(answer)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # Whoever reads, head for one, has enough; nothing more must be flushed to it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConfigException as error:
        return refused(f"{error} Name a kubeconfig by --kubeconfig FILE or KUBECONFIG.")
    except (ValueError, OSError, ClusterError) as error:
        return refused(str(error))


def _text(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text()


def _wrong(question: str) -> int:
    """A question that can't be answered: 2, as argparse has it, since 1 is the answer that it does not fit."""
    print(question, file=sys.stderr)
    return 2


def refused(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
