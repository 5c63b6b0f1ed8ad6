{{- /* The labels that autoscaling asks for, that tell revisions apart, and by which people find their trainings, made from the pods' labels. */ -}}
{{- define "deepseek-operator.podMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "deepseek-operator.fullname" .root }}-{{ .what }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "deepseek-operator.labelsWith" (dict "root" .root "own" "labels" "more" .root.Values.monitors.labels) | nindent 4 }}
spec:
  namespaceSelector:
    {{- if .root.Values.watchNamespaces }}
    matchNames: {{- toYaml .root.Values.watchNamespaces | nindent 6 }}
    {{- else }}
    any: true
    {{- end }}
  selector:
    matchExpressions:
      - {key: deepseek-operator.io/{{ .what }}, operator: Exists}
  podMetricsEndpoints:
    - port: {{ .port }}
      path: /metrics
      interval: {{ .root.Values.monitors.interval }}
      relabelings:
        - sourceLabels: [__meta_kubernetes_pod_label_deepseek_operator_io_{{ .what }}]
          targetLabel: deepseek_{{ .what }}
        {{- if .revisions }}
        - sourceLabels: [__meta_kubernetes_pod_label_deepseek_operator_io_revision]
          targetLabel: deepseek_revision
        {{- /* Engines that have them elsewhere say where. */}}
        - sourceLabels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
          regex: (/.+)
          targetLabel: __metrics_path__
        {{- end }}
{{- end -}}
{{- /* The same as jobs of a Prometheus that no prometheus-operator configures. The operator's and the gate's pods are told by
their names, since labels of their series are those of objects. */ -}}
{{- define "deepseek-operator.ownJob" -}}
- job_name: {{ .job }}
  honor_labels: true
  kubernetes_sd_configs: [{role: pod, namespaces: {names: [{{ .root.Release.Namespace }}]}}]
  relabel_configs:
    - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name], regex: {{ .name }}, action: keep}
    - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_instance], regex: {{ .root.Release.Name }}, action: keep}
    {{- include "deepseek-operator.placeOf" .port | nindent 4 }}
{{- end -}}
{{- define "deepseek-operator.podJob" -}}
{{- $label := printf "__meta_kubernetes_pod_label_deepseek_operator_io_%s" .what -}}
- job_name: deepseek-{{ .what }}
  kubernetes_sd_configs: [{role: pod{{ with .root.Values.watchNamespaces }}, namespaces: {names: [{{ join ", " . }}]}{{ end }}}]
  relabel_configs:
    - {source_labels: [{{ $label }}], regex: .+, action: keep}
    {{- include "deepseek-operator.placeOf" .port | nindent 4 }}
    - {source_labels: [{{ $label }}], target_label: deepseek_{{ .what }}}
    {{- if .revisions }}
    - {source_labels: [__meta_kubernetes_pod_label_deepseek_operator_io_revision], target_label: deepseek_revision}
    - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], regex: (/.+), target_label: __metrics_path__}
    {{- end }}
{{- end -}}
{{- define "deepseek-operator.placeOf" -}}
- {source_labels: [__meta_kubernetes_pod_container_port_name], regex: {{ . }}, action: keep}
- {source_labels: [__meta_kubernetes_pod_phase], regex: Failed|Succeeded, action: drop}
- {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
- {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
{{- end -}}
{{- define "deepseek-operator.jobs" -}}
{{- $root := . -}}
{{ include "deepseek-operator.ownJob" (dict "root" . "job" "deepseek-operator" "name" (include "deepseek-operator.name" .) "port" "metrics") }}
{{- range (.Files.Get "files/kinds.yaml" | fromYaml).kinds }}
{{- if .metricsPort }}
{{ include "deepseek-operator.podJob" (dict "root" $root "what" .word "port" .metricsPort "revisions" .isScaledByLoad) }}
{{- end }}
{{- end }}
{{ include "deepseek-operator.podJob" (dict "root" . "what" "cache" "port" "health" "revisions" true) }}
{{- if .Values.gate.enabled }}
{{ include "deepseek-operator.ownJob" (dict "root" . "job" "deepseek-gate" "name" (printf "%s-gate" (include "deepseek-operator.name" .)) "port" "health") }}
{{- end }}
{{- end -}}
