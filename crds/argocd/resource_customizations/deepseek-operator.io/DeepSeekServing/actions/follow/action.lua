local annotations = obj.metadata.annotations
annotations["deepseek-operator.io/rollback"] = nil
-- Most releases of Argo CD take an empty table for the mapping as it was.
if next(annotations) == nil then
  obj.metadata.annotations = nil
end
return obj
