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


def variables(tracking: Tracking | None, namespace: str, claim: str) -> list[dict[str, Any]]:
    """None without a server, so that the pods of trainings that have none stay as they are.

    `claim` is where exports lie: a registry names that place as their source.
    """
    if tracking is None or tracking.mlflow is None:
        return []
    server = tracking.mlflow
    wanted = {"experiment": namespace, **server.to_wire(), "volume": f"pvc://{claim}"}
    wanted.pop("credentials", None)
    told = {"name": "DEEPSEEK_TRACKING", "value": json.dumps({"mlflow": wanted}, sort_keys=True).replace("$", "$$")}
    if server.credentials is None:
        return [told]
    secret = server.credentials
    return [told, *(_entry(variable, secret, key) for variable, key in CREDENTIALS.items())]


def _entry(variable: str, secret: str, key: str) -> dict[str, Any]:
    """Each may miss: a server wants a user with a password, or a token."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}}}
