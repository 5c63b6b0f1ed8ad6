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
return actions
