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
