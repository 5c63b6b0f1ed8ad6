"""Bring a local Kubernetes up and down, and give it the images of this repository.

Which cluster: the one of $KUBECONFIG if that is set, otherwise one built here, in the folder of --home
($DEEPSEEK_CLUSTER_HOME, or a cache folder).
"""

import json
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from examples.local_cluster import backend, containers, entries, images, layers, programs, sbom
from examples.local_cluster.backend import Wanted
from examples.local_cluster.home import Home, default_root
from examples.local_cluster.progress import say


def main(arguments: list[str]) -> int:
    """Run a command; 1 with one line on stderr if it could not be done."""
    options = parser().parse_args(arguments)
    try:
        options.command(options)
    except (RuntimeError, OSError, KeyError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def _up(options: Namespace) -> None:
    started = time.monotonic()
    wanted = Wanted(options.only == "control-plane", options.fake_nodes, _pairs(options.advertise))
    entries.ensure("up --only control-plane" if options.only else "up", _home(options))
    path = backend.choose(_home(options)).up(wanted)
    say(f"up after {time.monotonic() - started:.1f} s")
    print(f"export KUBECONFIG={path}")


def _down(options: Namespace) -> None:
    backend.choose(_home(options)).down(options.purge)


def _status(options: Namespace) -> None:
    print("\n".join(backend.choose(_home(options)).status()))


def _images(options: Namespace) -> None:
    chosen = backend.choose(_home(options))
    if not options.list:
        entries.ensure("images", _home(options))
    if options.list:
        print("\n".join(containers.images(_home(options))))
    elif options.add:
        files = [(Path(path), destination) for path, destination in _pairs(options.file).items()]
        chosen.load(images.custom(options.add, options.parent, files))
    else:
        for name in options.names or images.IMAGES:
            chosen.load(images.IMAGES[name]())


def _sbom(options: Namespace) -> None:
    for name in options.names:
        made = sbom.bill(images.IMAGES[name](), layers.SUITE)
        path = Path(f"{name}.cdx.json")
        path.write_text(json.dumps(made, indent=1) + "\n")
        print(f"{path}: {len(made['components'])} packages")


def _ensure(options: Namespace) -> None:
    entries.ensure(options.entry, _home(options))


def _build(options: Namespace) -> None:
    programs.ensure(*(options.names or programs.PACKAGES))
    print(programs.folder())


def _kubeconfig(options: Namespace) -> None:
    print(_home(options).kubeconfig)


def _env(options: Namespace) -> None:
    print(f"export KUBECONFIG={_home(options).kubeconfig}")
    print(f'export PATH="$PATH:{programs.folder()}"')


def _home(options: Namespace) -> Home:
    return Home(Path(options.home).expanduser().resolve() if options.home else default_root())


def _pairs(texts: list[str]) -> dict[str, str]:
    """`a=b` arguments; RuntimeError for one without `=`."""
    for text in texts:
        if "=" not in text:
            raise RuntimeError(f"{text}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)


def parser() -> ArgumentParser:
    """Of the whole command line."""
    made = ArgumentParser(
        prog="python -m examples.local_cluster", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    made.add_argument("--home", help="folder of the cluster")
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="bring the cluster up; repeat it to complete or change one")
    up.add_argument("--only", choices=["control-plane"], help="no real node: needs no root")
    up.add_argument("--fake-nodes", type=int, default=0, metavar="N", help="fake nodes of 8 accelerators")
    up.add_argument("--advertise", action="append", default=[], metavar="RESOURCE=COUNT", help="of the real node")
    up.set_defaults(command=_up)

    down = commands.add_parser("down", help="end everything and put the machine back")
    down.add_argument("--purge", action="store_true", help="delete the loaded images too")
    down.set_defaults(command=_down)

    commands.add_parser("status", help="state of each part").set_defaults(command=_status)

    image = commands.add_parser("images", help="build the repository's images and load them")
    image.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(images.IMAGES)}; all without a name")
    image.add_argument("--list", action="store_true", help="only say which are loaded")
    image.add_argument("--add", metavar="IMAGE", help="an image of your own, with files added to one of ours")
    image.add_argument("--from", dest="parent", choices=list(images.IMAGES), default="runtime")
    image.add_argument("--file", action="append", default=[], metavar="PATH=DESTINATION")
    image.set_defaults(command=_images)

    listed = commands.add_parser(
        "sbom", help="write what is in an image of the repository, as CycloneDX: NAME.cdx.json"
    )
    listed.add_argument("names", nargs="+", choices=list(images.IMAGES), metavar="NAME")
    listed.set_defaults(command=_sbom)

    ensure = commands.add_parser("ensure", help="check the machine and install all that a command reaches")
    ensure.add_argument("entry", choices=list(entries.ENTRIES))
    ensure.set_defaults(command=_ensure)

    build = commands.add_parser("build", help="build programs ahead of time")
    build.add_argument("names", nargs="*", metavar="PROGRAM", help=f"of {', '.join(programs.PACKAGES)}")
    build.set_defaults(command=_build)

    commands.add_parser("kubeconfig", help="print the path of the kubeconfig").set_defaults(command=_kubeconfig)
    commands.add_parser("env", help="print what a shell should evaluate").set_defaults(command=_env)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
