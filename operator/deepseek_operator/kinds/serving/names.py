"""Names of a serving's children. They can never change: a stored object carries them."""

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.names import child_name


def serving_revision(name: str, revision: str) -> str:
    """Deployment, ControllerRevision and Service of one revision."""
    return f"{child_name(SERVING, name)}-{revision}"


def serving_service(name: str) -> str:
    """The Service that users call, and the HorizontalPodAutoscaler and PodDisruptionBudget beside it."""
    return child_name(SERVING, name)
