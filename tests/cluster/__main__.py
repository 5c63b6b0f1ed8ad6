"""`python -m tests.cluster`: bring a local Kubernetes up and down."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from tests.cluster import control_plane, programs
from tests.cluster.home import Home, default_root


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    return int(options.command(options) or 0)


def _up(options: Namespace) -> None:
    cluster = control_plane.start(_home(options))
    if options.fake_nodes:
        cluster.add_fake_nodes(options.fake_nodes)
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down(options: Namespace) -> None:
    control_plane.stop(_home(options))


def _home(options: Namespace) -> Home:
    return Home(Path(options.home).expanduser().resolve() if options.home else default_root())


def _build(options: Namespace) -> None:
    programs.ensure(*(options.names or programs.PACKAGES))
    print(programs.folder())


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--home", help="folder of the cluster (default: $DEEPSEEK_CLUSTER_HOME or a cache folder)")
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up")
    up.add_argument("--only", choices=["control-plane"])
    up.add_argument("--fake-nodes", type=int, default=0)
    up.set_defaults(command=_up)
    commands.add_parser("down").set_defaults(command=_down)
    build = commands.add_parser("build")
    build.add_argument("names", nargs="*")
    build.set_defaults(command=_build)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
