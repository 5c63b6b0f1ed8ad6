"""What Argo CD makes of a resource: the scripts that ship, run by a real Lua 5.1 with no more than Argo CD gives them.

After argoproj/argo-cd, util/lua: the object is the global `obj`; there are the base functions, `table`, and `require("os")`
with `time` and `date`; what comes back goes through JSON, where an empty table is a list, and such a list in the place of
what was a mapping is taken for the mapping as it was (3.6 takes it for an empty one). An action's change is sent as a merge patch between both.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime, lua_type  # Argo CD's interpreter is of this version of the language

from deepseek_operator.api.resource import GROUP
from deepseek_operator.cli.argocd import CONFIG_MAP, CUSTOMIZATIONS

FOLDER = Path(__file__).parents[2] / "crds" / "argocd"

_BOUNDS = """
local time, date = os.time, os.date
getmetatable("").__index = nil
for _, name in ipairs({"string", "math", "io", "os", "coroutine", "debug", "python"}) do
  _G[name], package.loaded[name] = nil, nil
end
package.preload["os"] = function() return {time = time, date = date} end
"""


@cache
def customization(kind: str, path: str) -> str:
    """A script of a kind, in the layout of Argo CD's repository."""
    return (FOLDER / CUSTOMIZATIONS / GROUP / kind / path).read_text()


@cache
def patched() -> Mapping[str, str]:
    """Keys of Argo CD's ConfigMap."""
    data: Mapping[str, str] = yaml.safe_load((FOLDER / CONFIG_MAP).read_text())["data"]
    return data


def run(script: str, manifest: Mapping[str, Any]) -> Any:
    """What a script returns about an object, as plain data.

    Raises:
        lupa.LuaError: the script fails, as where it uses what Argo CD does not have.
    """
    lua = LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)
    lua.execute(_BOUNDS)
    lua.globals().obj = lua.table_from(_without_nulls(manifest), recursive=True)
    return _plain(lua.execute(script))


def health(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Status and message for an object as it is stored."""
    found = run(customization(str(manifest["kind"]), "health.lua"), manifest)
    return str(found["status"]), str(found["message"])


def offered(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Actions by name, as they are offered for the object."""
    found: dict[str, Mapping[str, Any]] = run(customization(manifest["kind"], "actions/discovery.lua"), manifest)
    return found


def enabled(manifest: Mapping[str, Any]) -> set[str]:
    """Names of the actions that a person can take."""
    return {name for name, action in offered(manifest).items() if not action["disabled"]}


def acted(manifest: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The object as an action would have it."""
    changed = run(customization(manifest["kind"], f"actions/{action}/action.lua"), manifest)
    cleaned: dict[str, Any] = _cleaned(changed, manifest)
    return cleaned


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent to the API server: RFC 7386, from one object to the other."""
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if changed := merge_patch(old, value):
                patch[key] = changed
        elif key not in before or value != old:
            patch[key] = value
    return patch


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """As layeh.com/gopher-json encodes it, where an empty table is a list."""
    if lua_type(value) != "table":
        return int(value) if isinstance(value, float) and value.is_integer() else value
    keys = list(value.keys())
    if all(isinstance(key, int) for key in keys):
        assert sorted(keys) == list(range(1, len(keys) + 1)), "a sparse list can't be encoded"
        return [_plain(value[key]) for key in sorted(keys)]
    assert all(isinstance(key, str) for key in keys), "a table with keys of both kinds can't be encoded"
    return {key: _plain(value[key]) for key in keys}


def _cleaned(new: Any, old: Any) -> Any:
    """An empty list in the place of a mapping is that mapping, at any depth."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        return {key: _cleaned(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, Mapping):
        return new or dict(old)
    if isinstance(new, list) and isinstance(old, list):
        return [*(_cleaned(a, b) for a, b in zip(new, old, strict=False)), *new[len(old) :]]
    return new
