"""The variables that tell the trainer where to record its run, and by whose name."""

import json
from typing import Any

from deepseek_operator.api.v1alpha1.training.tracking import Tracking

CREDENTIALS = {
    "MLFLOW_TRACKING_USERNAME": "username",
    "MLFLOW_TRACKING_PASSWORD": "password",
    "MLFLOW_TRACKING_TOKEN": "token",
}
"""Variables that MLflow's own client reads, and the entries of the Secret that they come from."""


def variables(tracking: Tracking | None, namespace: str, name: str, claim: str) -> list[dict[str, Any]]:
    """None where nobody is told, so that the pods of trainings that tell nobody stay as they are.

    `namespace` and `name` are the training's, `claim` is where exports lie: a registry names that place as their source.
    """
    wanted: dict[str, Any] = {}
    server = tracking.mlflow if tracking is not None else None
    if server is not None:
        wanted["mlflow"] = {"experiment": namespace, **server.to_wire(), "volume": f"pvc://{claim}"}
        wanted["mlflow"].pop("credentials", None)
    if tracking is not None and tracking.tensorboard is not None:
        wanted["tensorboard"] = {"run": tracking.tensorboard.run or name}
    if not wanted:
        return []
    told = {"name": "DEEPSEEK_TRACKING", "value": json.dumps(wanted, sort_keys=True).replace("$", "$$")}
    secret = server.credentials if server is not None else None
    return [told, *(_entry(variable, secret, key) for variable, key in CREDENTIALS.items() if secret is not None)]


def _entry(variable: str, secret: str, key: str) -> dict[str, Any]:
    """Each may miss: a server wants a user with a password, or a token."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}}}
