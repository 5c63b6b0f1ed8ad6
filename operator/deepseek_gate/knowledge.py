"""What is known of one namespace, from its ConfigMaps: pure, and as forgiving as safe. What can't be believed is left out,
which lets nobody in, and told by where it stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepseek_gate.keys import Key, key_of
from deepseek_gate.models import ENTRY, Model, models_of

LABEL = "deepseek-operator.io/gate"
KEYS, MODELS = "keys", "models"

ConfigMap = Mapping[str, Any]


@dataclass(frozen=True)
class Knowledge:
    """Keys by their digest, models by their names, and `faults`: lines about what was left out, without any value."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def known(config_maps: Iterable[ConfigMap]) -> Knowledge:
    """All that these say. Among models the oldest ConfigMap wins, as among routes of the Gateway API; a key that stands
    in two entries is worth nothing, since its revocation would have to find both."""
    keys: dict[str, Key] = {}
    twice: set[str] = set()
    models: dict[str, Model] = {}
    faults: list[str] = []
    for config_map in sorted(config_maps, key=_age):
        metadata = config_map["metadata"]
        data = config_map.get("data") or {}
        role = (metadata.get("labels") or {}).get(LABEL)
        place = f"ConfigMap {metadata.get('namespace', '')}/{metadata['name']}"
        if role == KEYS:
            for client, text in sorted(data.items()):
                try:
                    digest, key = key_of(client, text)
                except ValueError as error:
                    faults.append(f"{place}: the entry {client} {error}")
                    continue
                if digest in keys:
                    twice.add(digest)
                    faults.append(
                        f"{place}: the entry {client} has the sha256 of {keys[digest].client}; neither counts"
                    )
                keys[digest] = key
        elif role == MODELS:
            try:
                models = {**models_of(data.get(ENTRY, "")), **models}
            except ValueError as error:
                faults.append(f"{place}: {ENTRY} {error}")
    return Knowledge({digest: key for digest, key in keys.items() if digest not in twice}, models, tuple(faults))


def _age(config_map: ConfigMap) -> tuple[str, str]:
    metadata = config_map["metadata"]
    return str(metadata.get("creationTimestamp") or ""), str(metadata["name"])
