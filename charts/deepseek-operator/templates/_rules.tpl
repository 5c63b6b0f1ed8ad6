{{- /*
What the operator may do where it works, rule by rule in files/kinds.yaml, which is made from what each kind owns. No wildcard, and no verb on Secrets: a Secret that a training names is mounted by
the kubelet, and a missing one shows in the pod's own state. Jobs and ControllerRevisions are write-once: what is patched of
them is the labels and the owner that tell whose they are, if somebody took them away. A PersistentVolumeClaim holds checkpoints and is only ever deleted by the garbage collector, under onDelete: Delete.
The plug-in that protects owner references asks for `delete` of whoever gives a living claim an owner; no delete is sent.
*/ -}}
{{- define "deepseek-operator.rules" -}}
{{- $made := .Files.Get "files/kinds.yaml" | fromYaml -}}
{{- $rules := $made.rules -}}
{{- if .Values.rbac.ownerReferencesPermissionEnforcement -}}
{{- $rules = concat $rules $made.rulesWhereOwnersAreEnforced -}}
{{- end -}}
{{ toYaml $rules }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch, list]
{{- end -}}
