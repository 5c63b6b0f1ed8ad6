-- Healthy: serves, runs or is complete. Progressing: on the way, or waiting for something that is not this object.
-- Degraded: a person must edit this object, or the version in use does not answer as well as asked.
-- Suspended: as asked, or a version that is tried waits for a person to decide.
local status = obj.status or {}
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at this version of the spec yet"}
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local decided_by_a_person = {CanaryPaused = true, CanaryHeld = true, CanaryCompared = true}
local order = {
  {"Stalled", "True", "Degraded"},
  {"Suspended", "True", "Suspended"},
  {"Reconciling", "True", "Progressing"},
  {"Ready", "True", "Healthy"},
  {"Ready", "False", "Progressing"},
}
for _, rule in ipairs(order) do
  local condition = conditions[rule[1]]
  if condition ~= nil and condition.status == rule[2] then
    local health = rule[3]
    if health == "Progressing" and decided_by_a_person[condition.reason] then
      health = "Suspended"
    end
    return {status = health, message = (condition.reason or "") .. ": " .. (condition.message or "")}
  end
end
return {status = "Progressing", message = "no operator has looked at this resource yet"}
