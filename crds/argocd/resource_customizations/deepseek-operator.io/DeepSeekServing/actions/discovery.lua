local status, annotations = obj.status or {}, obj.metadata.annotations or {}
local over = false
for _, condition in ipairs(status.conditions or {}) do
  if (condition.type == "Complete" or condition.type == "Failed") and condition.status == "True" then
    over = true
  end
end
local suspended = obj.spec.suspend == true
local paused = annotations["deepseek-operator.io/pause"] ~= nil
local actions = {}
actions["suspend"] = {disabled = suspended or over, iconClass = "fa fa-fw fa-stop"}
actions["resume"] = {disabled = not (suspended or paused), iconClass = "fa fa-fw fa-play"}
local run = status.canary or {}
local kept = false
for _, revision in ipairs(status.revisions or {}) do
  kept = kept or revision.name == run.stable
end
local moves = run.phase == "Preparing" or run.phase == "Baking"
local waits = run.phase == "Paused" or run.phase == "Held" or run.phase == "Compared"
actions["promote"] = {disabled = not (moves or waits), iconClass = "fa fa-fw fa-forward"}
actions["pause"] = {disabled = not moves or annotations["deepseek-operator.io/pause"] == run.target, iconClass = "fa fa-fw fa-pause"}
actions["rollback"] = {disabled = not kept or run.phase == "RolledBack", iconClass = "fa fa-fw fa-undo"}
actions["follow"] = {
  disabled = annotations["deepseek-operator.io/rollback"] == nil,
  displayName = "Follow the spec again",
  iconClass = "fa fa-fw fa-code-branch",
}
return actions
