"""Whom an autoscaler scales: what a HorizontalPodAutoscaler or KEDA's ScaledObject names in `spec.scaleTargetRef`.

Whoever may write one in a namespace may point it at anything there, at what the operator scales or makes too.
"""

from dataclasses import dataclass

from deepseek_operator.core.resources import AUTOSCALER, SCALED_OBJECT, Manifest, Resource

SCALERS: tuple[Resource, ...] = (AUTOSCALER, SCALED_OBJECT)
"""What scales others; all of them are watched, whoever made them."""


@dataclass(frozen=True)
class ScaleTarget:
    """One object by API group (empty: the core group), kind and name, in the namespace of whoever scales it."""

    group: str
    kind: str
    name: str


def target_of(manifest: Manifest) -> ScaleTarget | None:
    """What it scales; None where it names nothing that can be."""
    reference = (manifest.get("spec") or {}).get("scaleTargetRef") or {}
    # As ScaledObjects have it; a HorizontalPodAutoscaler always says both.
    usual = {"apiVersion": "apps/v1", "kind": "Deployment"} if manifest.get("kind") == SCALED_OBJECT.kind else {}
    version, kind, name = (reference.get(part) or usual.get(part, "") for part in ("apiVersion", "kind", "name"))
    if not all(isinstance(part, str) for part in (version, kind, name)) or not kind or not name:
        return None
    return ScaleTarget(version.rpartition("/")[0], kind, name)
