"""Names of a serving's children. They can never change: a stored object carries them."""

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.names import child_name, digest


def serving_revision(name: str, revision: str) -> str:
    """Deployment, ControllerRevision and Service of one revision."""
    return f"{child_name(SERVING, name)}-{revision}"


def serving_caches(name: str) -> str:
    """The PodDisruptionBudget over all caches of a serving."""
    return f"{child_name(SERVING, name)}-cache"


def serving_cache(name: str, revision: str) -> str:
    """Deployment, ConfigMap and Service of the cache before one revision, whose name is the last word here too."""
    return f"{serving_caches(name)}-{revision}"


def is_of_a_cache(name: str, child: str) -> bool:
    """Whether a child of the serving `name` is one of its caches'; no revision is called `cache`."""
    return child == serving_caches(name) or child.startswith(f"{serving_caches(name)}-")


def serving_service(name: str) -> str:
    """The Service that users call, and the HorizontalPodAutoscaler and PodDisruptionBudget beside it."""
    return child_name(SERVING, name)


def serving_key(name: str, secret: str) -> str:
    """HTTPRouteFilter by which requests get the engine's key from a Secret; the Secret's own name may be too long for it."""
    return f"{child_name(SERVING, name)}-key-{digest(secret, 8)}"


def serving_grpc(name: str) -> str:
    """The GRPCRoute, which is for gRPC what the HTTPRoute is, and its policies. Its name is behind that one's: of routes as old
    as each other Gateway API prefers the first in the alphabet."""
    return f"{child_name(SERVING, name)}-grpc"


def serving_exam(name: str, uid: str, *what: object) -> str:
    """Job of one try of an exam: of the run, the step, the revision and all else that tells it from others.

    As a digest: `-0`, which an Indexed Job's pod has behind it in its host name, is all that there is room for.
    """
    return f"{child_name(SERVING, name)}-exam-{digest([uid, *what], 8)}"
