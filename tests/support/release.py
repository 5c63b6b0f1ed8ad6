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

    def install(self, *values: str, timeout_s: int = 120) -> None:
        """`helm upgrade --install --wait`; `values` are arguments of --set.

        Raises:
            CommandFailed: the chart was refused or did not become ready; the text is Helm's.
        """
        self._helm(
            "upgrade", "--install", NAME, str(CHART), "--create-namespace", "--wait", f"--timeout={timeout_s}s",
            *(argument for value in values for argument in ("--set", value)), timeout_s=timeout_s,
        )  # fmt: skip

    def roll_back(self, timeout_s: int = 120) -> None:
        """`helm rollback --wait` to the values and the chart of before. Raises CommandFailed."""
        self._helm("rollback", NAME, "--wait", f"--timeout={timeout_s}s", timeout_s=timeout_s)

    def uninstall(self, timeout_s: int = 120) -> None:
        """`helm uninstall --wait`; custom resources and their children stay. Raises CommandFailed."""
        self._helm("uninstall", NAME, "--wait", f"--timeout={timeout_s}s", timeout_s=timeout_s)

    def tested(self, timeout_s: int = 120) -> str:
        """`helm test`. Raises CommandFailed."""
        return self._helm("test", NAME, f"--timeout={timeout_s}s", timeout_s=timeout_s)

    def notes(self, timeout_s: int = 60) -> str:
        """What an administrator is told after the last installation. Raises CommandFailed."""
        return self._helm("get", "notes", NAME, timeout_s=timeout_s)

    def _helm(self, *arguments: str, timeout_s: int) -> str:
        command = [str(self.helm), f"--kubeconfig={self.kubectl.kubeconfig}", f"--namespace={NAMESPACE}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s + 60, check=False)
        if done.returncode:
            raise CommandFailed(f"helm {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def logs(self) -> str:
        """What the operator has printed."""
        return self.kubectl.within(NAMESPACE).run("logs", f"deployment/{NAME}", "--tail=-1")
