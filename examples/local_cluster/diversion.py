"""New connections of pods, shown to a program that judges them before they are made.

kube-network-policies, which enforces NetworkPolicies, asks the kernel for them by a rule of nftables that not every kernel
has (CONFIG_NFT_QUEUE). These rules of iptables ask for the same, and for what pods send to the machine itself as well.
Where nobody listens to the queue, everything passes.
"""

import shutil
import subprocess
from json import loads

TABLE = "mangle"
LEAVING, ARRIVING = "deepseek-leaving", "deepseek-arriving"
HOOKS = {LEAVING: "POSTROUTING", ARRIVING: "INPUT"}
"""Behind the choice of a Service's pod, before any change of the sender's address."""


def divert(queue: int, pods: str) -> None:
    """Have the kernel ask that netfilter queue about addresses of the range `pods`; what diverted before goes."""
    remove()
    asked = ("-j", "NFQUEUE", "--queue-num", f"{queue}", "--queue-bypass")
    known = ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN")
    # The machine's own programs, the kubelet with its probes above all, reach every pod of it: so says Kubernetes.
    own = ("-m", "owner", "--uid-owner", "0", "-j", "RETURN")
    rules = {LEAVING: (own, known, ("-s", pods, *asked), ("-d", pods, *asked)), ARRIVING: (known, ("-s", pods, *asked))}
    for chain, hook in HOOKS.items():
        _iptables("-N", chain)
        for rule in rules[chain]:
            _iptables("-A", chain, *rule)
        _iptables("-A", hook, "-j", chain)


def remove() -> None:
    """Take the rules away, and the table where nothing else is in it; nothing where there are none."""
    if shutil.which("iptables") is None or not any(chain in _chains_and_rules() for chain in HOOKS):
        return
    for chain, hook in HOOKS.items():
        for command in (("-D", hook, "-j", chain), ("-F", chain), ("-X", chain)):
            subprocess.run(_command(*command), capture_output=True)
    if is_bare(_chains_and_rules()):
        subprocess.run(["nft", "delete", "table", "ip", TABLE], capture_output=True)


def is_bare(told: str) -> bool:
    """Whether `nft --json list table` shows no rule, nor a chain that refuses what no rule says: it can go."""
    parts = loads(told or "{}").get("nftables", [])
    chains = [part["chain"] for part in parts if "chain" in part]
    return not any("rule" in part for part in parts) and all(chain.get("policy") == "accept" for chain in chains)


def _chains_and_rules() -> str:
    return subprocess.run(["nft", "--json", "list", "table", "ip", TABLE], capture_output=True, text=True).stdout


def _command(*arguments: str) -> list[str]:
    return ["iptables", "--wait", "--table", TABLE, *arguments]


def _iptables(*arguments: str) -> None:
    done = subprocess.run(_command(*arguments), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"iptables {' '.join(arguments)}: {done.stderr.strip()}")
