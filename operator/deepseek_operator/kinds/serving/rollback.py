"""Rollback by name: a kept revision runs in place of the one that the spec asks for, by its very template.

It does until the annotation goes, or the spec asks for the same revision. From then on the annotation is done with, so
that the next edit of the spec is not undone by it; that it is, is recorded.
"""

from collections.abc import Iterator, Mapping
from json import dumps

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.labels import revision_named
from deepseek_operator.kinds.serving.model import Unresolved
from deepseek_operator.kinds.serving.revision import (
    UPDATE,
    claims_mounted,
    model_of,
    record_of,
    stored_revisions,
    template_of,
    user_input,
)
from deepseek_operator.kinds.serving.running import group, reach_of_resting
from deepseek_operator.kinds.serving.verbs import ROLLBACK, verb
from deepseek_operator.workloads.pod.reach import refusal

ROLLED_BACK = "RolledBack"


def spent(owner: DeepSeekServing, asked: str) -> str:
    """The annotation that is done with, to be recorded; empty where there is none. `asked`: the revision that the spec
    asks for, empty while that is not known."""
    wish = verb(owner, ROLLBACK)
    if wish is None:
        return ""
    return wish.token if wish.token == owner.status.spent_rollback or wish.revision == asked else ""


def rolled_back(seen: Seen[DeepSeekServing], asked: str) -> str | None:
    """The kept revision that runs by the annotation; None where the spec is followed."""
    wish = verb(seen.owner, ROLLBACK)
    if wish is None or spent(seen.owner, asked) or template_of(seen, wish.revision) is None:
        return None
    return wish.revision


def obstacle_of(seen: Seen[DeepSeekServing], revision: str, configuration: Configuration) -> Unresolved | None:
    """Why a kept revision can't start; None where it can, or runs."""
    template = template_of(seen, revision) or {}
    absent = [name for name in claims_mounted(template) if Ref(CLAIM, name) not in seen.references]
    if absent and group(seen, revision) is None:
        missing = (
            f"revision {revision} is asked for, and there is no PersistentVolumeClaim {absent[0]} in this namespace"
        )
        return Unresolved(reasons.WAITING_FOR_CLAIM, missing)
    profile, reach = _profile(seen, revision), reach_of_resting(seen, revision)
    namespace = seen.owner.metadata.namespace
    if reach and not configuration.host_access.allows(namespace, profile):
        return Unresolved(reasons.HOST_ACCESS_NOT_ALLOWED, refusal(namespace, profile, reach), final=True)
    return None


def _profile(seen: Seen[DeepSeekServing], revision: str) -> str:
    plan = record_of(seen, revision).get("plan")
    return str(plan.get("profile") or "") if isinstance(plan, Mapping) else ""


def verdict(seen: Seen[DeepSeekServing], asked: str, model: ResolvedModel | None) -> tuple[Verdict, ...]:
    """The condition that tells what became of the annotation; none without one, or where the spec says the same.

    `model`: what the revision that the spec asks for would serve; None while that is not known.
    """
    wish = verb(seen.owner, ROLLBACK)
    if wish is None or wish.revision == asked:
        return ()
    if template_of(seen, wish.revision) is None:
        kept = ", ".join(told(seen, revision_named(one)) for one in reversed(stored_revisions(seen))) or "none yet"
        message = f"no revision is called {wish.revision}, and nothing changes. Kept are: {kept}. {reasons.UNKNOWN_REVISION.advice}"
        return (Verdict(ROLLED_BACK, "False", reasons.UNKNOWN_REVISION.name, message),)
    if spent(seen.owner, asked):
        message = (
            f"the spec asked for revision {wish.revision} since {ROLLBACK}={wish.token} was written, which ended it. To roll "
            f"back to it again: {_annotate(seen.owner)}={wish.revision}/again"
        )
        return (Verdict(ROLLED_BACK, "False", reasons.ROLLBACK_DONE.name, message),)
    instead = f"{asked}, which the spec asks for" if asked else "what the spec asks for"
    message = (
        f"revision {told(seen, wish.revision)} runs by annotation in place of {instead}. "
        f"{_to_keep(seen, wish.revision, model)}. To follow the spec again: {_annotate(seen.owner)}-"
    )
    return (Verdict(ROLLED_BACK, "True", reasons.ROLLED_BACK.name, message),)


def rejected(seen: Seen[DeepSeekServing], stable: str, target: str, why: str, model: ResolvedModel | None) -> Verdict:
    """The condition that a canary run has rolled back what the spec asks for. `model`: what that would serve."""
    message = (
        f"revision {told(seen, stable)} serves in place of {told(seen, target)}, which was tried and rolled back: {why}. "
        f"{_to_keep(seen, stable, model)}. {reasons.CANARY_REJECTED.advice}"
    )
    return Verdict(ROLLED_BACK, "True", reasons.CANARY_REJECTED.name, message)


def told(seen: Seen[DeepSeekServing], revision: str) -> str:
    """A revision for people: `975abe8e9a (uppercase@200)`."""
    model = model_of(seen, revision)
    return f"{revision} ({model.told})" if model is not None else revision


def _annotate(owner: DeepSeekServing) -> str:
    meta = owner.metadata
    return f"kubectl annotate dss {meta.name} -n {meta.namespace} --overwrite {ROLLBACK}"


def _to_keep(seen: Seen[DeepSeekServing], revision: str, model: ResolvedModel | None) -> str:
    written = "; ".join(what_to_write(seen, revision, model)) or "the spec that it was made of"
    return f"To keep it, write {written}"


def what_to_write(seen: Seen[DeepSeekServing], revision: str, model: ResolvedModel | None) -> Iterator[str]:
    """What of the spec must be otherwise for it to ask for a stored revision, field by field."""
    was = record_of(seen, revision).get("input")
    resolved = model_of(seen, revision)
    if not isinstance(was, Mapping) or resolved is None:
        return
    now = user_input(seen.owner, model) if model is not None else {}
    old_model, new_model = was.get("model") or {}, now.get("model") or {}
    if any(old_model.get(key) != new_model.get(key) for key in ("claim", "path")):
        yield f"model.{_reference(resolved)}"
    for key in ("name", "quantization", "custom"):
        yield from _field(f"model.{key}", old_model.get(key), new_model.get(key))
    if was.get("adapters") != now.get("adapters"):
        names = ", ".join(str(adapter.get("name")) for adapter in was.get("adapters") or ())
        yield f"adapters as they were ({names or 'none'})"
    for part in ("engine", "accelerator", "parallelism", "pod"):
        old, new = was.get(part) or {}, now.get(part) or {}
        for key in sorted({*old, *new}):
            yield from _field(f"{part}.{key}", old.get(key), new.get(key))
    if was.get("update") != now.get("update"):
        yield f"the annotation {UPDATE} as it was"


def _reference(model: ResolvedModel) -> str:
    """The place of a model as a user writes it, pinned to its step."""
    if model.training is not None and model.step is not None:
        return f'fromTraining: {{name: {model.training}, checkpoint: "{model.step}"}}'
    return f"source: {{uri: {model.folder}}}"


def _field(path: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    if path == "model.custom":
        yield f"{path} as it was"
    else:
        yield f"{path}: {_compact(old)}" if old is not None else f"{path} left out"


def _compact(value: object) -> str:
    text = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
