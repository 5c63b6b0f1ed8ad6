"""The operator on a cluster: images, CRDs and the Helm chart, as a platform team would install it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.kubectl import CommandFailed, Kubectl

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
NAMESPACE = "deepseek-system"
NAME = "deepseek-operator"


@dataclass(frozen=True)
class Release:
    """An installed operator."""

    kubectl: Kubectl
    helm: Path

    def install(self, *values: str, timeout_s: int = 120) -> str:
        """`helm upgrade --install --wait`; `values` are arguments of --set.

        Raises:
            CommandFailed: the chart was refused or did not become ready; the text is Helm's.
        """
        command = [
            str(self.helm), f"--kubeconfig={self.kubectl.kubeconfig}", "upgrade", "--install", NAME, str(CHART),
            f"--namespace={NAMESPACE}", "--create-namespace", "--wait", f"--timeout={timeout_s}s",
            *(argument for value in values for argument in ("--set", value)),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s + 60, check=False)
        if done.returncode:
            raise CommandFailed(f"helm: {done.stderr.strip()}")
        return done.stdout

    def uninstall(self) -> None:
        """`helm uninstall --wait`; custom resources and their children stay."""
        command = [
            str(self.helm),
            f"--kubeconfig={self.kubectl.kubeconfig}",
            "uninstall",
            NAME,
            f"--namespace={NAMESPACE}",
            "--wait",
        ]
        subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def logs(self) -> str:
        """What the operator has printed."""
        return self.kubectl.within(NAMESPACE).run("logs", f"deployment/{NAME}", "--tail=-1")
