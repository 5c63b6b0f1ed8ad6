if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- Another value for every run: one that the spec has ended since is not meant again.
local run = obj.status.canary
obj.metadata.annotations["deepseek-operator.io/rollback"] = run.stable .. "/" .. run.run
return obj
