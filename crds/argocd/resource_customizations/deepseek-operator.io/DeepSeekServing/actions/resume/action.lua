if obj.spec.suspend then
  obj.spec.suspend = false
end
local annotations = obj.metadata.annotations
if annotations ~= nil and annotations["deepseek-operator.io/pause"] ~= nil then
  annotations["deepseek-operator.io/pause"] = nil
  -- Most releases of Argo CD take an empty table for the mapping as it was.
  if next(annotations) == nil then
    obj.metadata.annotations = nil
  end
end
return obj
