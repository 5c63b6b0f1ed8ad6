"""The command `key`: what is printed where. A new key goes to standard output alone, so that it can be piped to its place."""

import sys
from argparse import Namespace
from datetime import UTC, datetime

from deepseek_operator.cli import keys
from deepseek_operator.cli.connection import api_server, namespace_of


async def answer(options: Namespace) -> int:
    """The exit status.

    Raises:
        ValueError: an option is wrong, or the name taken.
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    now = datetime.now(UTC)
    if options.verb == "new" and options.output == "yaml":
        key, entry = _made(options, now)
        print(keys.as_yaml(keys.config_map(options.namespace or "default", {options.name: entry})), end="")
        print(f"the key of {options.name}, told once: {key}", file=sys.stderr)
        return 0
    namespace = namespace_of(options)
    async with api_server(options) as server:
        match options.verb:
            case "new":
                key, entry = _made(options, now)
                await keys.add(server, namespace, options.name, entry)
                print(f"the key of {options.name} in {namespace}, told once:", file=sys.stderr)
                print(key)
            case "list":
                print(await keys.listing(server, namespace, now), end="")
            case "revoke":
                if not await keys.revoke(server, namespace, options.name):
                    raise ValueError(f"there is no key {options.name} in {namespace}")
                print(f"{options.name} is revoked, in force within 5 s", file=sys.stderr)
    return 0


def _made(options: Namespace, now: datetime) -> tuple[str, str]:
    lasting = keys.term(options.expires)
    expires = None if lasting is None else (now + lasting).replace(microsecond=0)
    wish = keys.Wish(options.name, tuple(options.servings), expires, options.revision, options.limits)
    key = keys.new_key()
    return key, keys.entry(key, wish)
