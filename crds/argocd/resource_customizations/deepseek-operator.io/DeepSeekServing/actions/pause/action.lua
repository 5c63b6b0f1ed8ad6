if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["deepseek-operator.io/pause"] = obj.status.canary.target
return obj
