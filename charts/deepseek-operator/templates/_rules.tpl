{{- /*
What the operator may do where it works. No wildcard, and no verb on Secrets: a Secret that a training names is mounted by
the kubelet, and a missing one shows in the pod's own state. Jobs and ControllerRevisions are write-once: what is patched of
them is the labels and the owner that tell whose they are, if somebody took them away. A PersistentVolumeClaim holds checkpoints and is only ever deleted by the garbage collector, under onDelete: Delete.
The plug-in that protects owner references asks for `delete` of whoever gives a living claim an owner; no delete is sent.
*/ -}}
{{- define "deepseek-operator.rules" -}}
- apiGroups: [deepseek-operator.io]
  resources: [deepseektrainings, deepseekservings]
  verbs: [get, list, watch]
- apiGroups: [deepseek-operator.io]
  resources: [deepseektrainings/status, deepseekservings/status]
  verbs: [update]
{{- if .Values.rbac.ownerReferencesPermissionEnforcement }}
- apiGroups: [deepseek-operator.io]
  resources: [deepseektrainings/finalizers, deepseekservings/finalizers]
  verbs: [update]
{{- end }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch{{ if .Values.rbac.ownerReferencesPermissionEnforcement }}, delete{{ end }}]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch, list]
{{- end -}}
