"""What Argo CD makes of a resource: the health script that ships with the chart, run by a real Lua interpreter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime  # Argo CD's interpreter is of this version of the language

SHIPPED = Path(__file__).parents[2] / "charts" / "deepseek-operator" / "argocd-health.yaml"


def script(kind: str, group: str = "deepseek-operator.io") -> str:
    """The script for a kind, under the key by which Argo CD finds it."""
    found: str = yaml.safe_load(SHIPPED.read_text())["data"][f"resource.customizations.health.{group}_{kind}"]
    return found


def health(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Status and message for an object as it is stored."""
    lua = LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)
    judge = lua.execute(f"return function(obj)\n{script(manifest['kind'])}\nend")
    found = judge(lua.table_from(manifest, recursive=True))
    return str(found["status"]), str(found["message"])
