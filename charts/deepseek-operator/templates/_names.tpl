{{- define "deepseek-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "deepseek-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "deepseek-operator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "deepseek-operator.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "deepseek-operator.selector" -}}
app.kubernetes.io/name: {{ include "deepseek-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "deepseek-operator.labels" -}}
{{ include "deepseek-operator.selector" . }}
{{ include "deepseek-operator.releaseLabels" . }}
{{- end -}}

{{- /* commonLabels, and what Helm's charts have beside a selector: the schema keeps the one from naming the other. */ -}}
{{- define "deepseek-operator.releaseLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The chart's labels with `more` of one object, each once: the chart's own first, then the object's, then commonLabels. */ -}}
{{- define "deepseek-operator.labelsWith" -}}
{{- $labels := include (printf "deepseek-operator.%s" .own) .root | fromYaml -}}
{{- $own := deepCopy $labels -}}
{{- range $name, $_ := .root.Values.commonLabels }}{{ $own = omit $own $name }}{{ end -}}
{{- merge $own (.more | default dict) $labels | toYaml -}}
{{- end -}}

{{- define "deepseek-operator.image" -}}
{{- include "deepseek-operator.imageOf" (dict "root" . "image" .Values.image) -}}
{{- end -}}

{{- define "deepseek-operator.gateImage" -}}
{{- include "deepseek-operator.imageOf" (dict "root" . "image" .Values.gate.image) -}}
{{- end -}}

{{- define "deepseek-operator.imageOf" -}}
{{- $repository := include "deepseek-operator.fromRegistry" (dict "root" .root "image" .image.repository) -}}
{{- if .image.digest }}{{ $repository }}@{{ .image.digest }}{{ else }}{{ $repository }}:{{ .image.tag }}{{ end -}}
{{- end -}}

{{- define "deepseek-operator.gateName" -}}
{{- include "deepseek-operator.fullname" . }}-gate
{{- end -}}

{{- /* Another name than the operator's, so that no selector of the one finds the other's pods. */ -}}
{{- define "deepseek-operator.gateSelector" -}}
app.kubernetes.io/name: {{ include "deepseek-operator.name" . }}-gate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "deepseek-operator.gateLabels" -}}
{{ include "deepseek-operator.gateSelector" . }}
{{ include "deepseek-operator.releaseLabels" . }}
{{- end -}}

{{- /* global.imageRegistry takes the place of the registry that an image names: its first part, where that is a host. */ -}}
{{- define "deepseek-operator.fromRegistry" -}}
{{- $registry := (.root.Values.global).imageRegistry | default "" | trimSuffix "/" -}}
{{- if $registry -}}
{{- $registry }}/{{ regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" .image "" -}}
{{- else -}}
{{- .image -}}
{{- end -}}
{{- end -}}

{{- /* The chart's imagePullSecrets and global.imagePullSecrets, whose items are names or {name: …}. */ -}}
{{- define "deepseek-operator.pullSecrets" -}}
{{- $secrets := list -}}
{{- range concat .Values.imagePullSecrets ((.Values.global).imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- if $secrets }}{{ $secrets | uniq | toYaml }}{{ end -}}
{{- end -}}

{{- /*
A Role can't be made in a namespace that isn't there, and Helm would say so half-way. Whether the cluster can be asked at all
(`helm template` can't) is known from any namespace that it does show.
*/ -}}
{{- define "deepseek-operator.requireNamespaces" -}}
{{- $isAsked := lookup "v1" "Namespace" "" .Release.Namespace -}}
{{- $missing := list -}}
{{- $value := "watchNamespaces" -}}
{{- range .Values.watchNamespaces -}}
{{- if lookup "v1" "Namespace" "" . -}}{{- $isAsked = true -}}{{- else -}}{{- $missing = append $missing . -}}{{- end -}}
{{- end -}}
{{- if and .Values.gate.enabled (not $missing) -}}
{{- $value = "gate.namespaces" -}}
{{- range .Values.gate.namespaces -}}
{{- if lookup "v1" "Namespace" "" . -}}{{- $isAsked = true -}}{{- else -}}{{- $missing = append $missing . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $isAsked $missing -}}
{{- fail (printf "%s: the cluster has no namespace %s: make it first (kubectl create namespace NAME), or leave it out" $value (join " and no namespace " $missing)) -}}
{{- end -}}
{{- end -}}

{{- /* What an administrator offers beside the operator's own profiles: more of them, or access to nodes. */ -}}
{{- define "deepseek-operator.hasOffer" -}}
{{- if or .Values.profiles .Values.hostAccess }}yes{{ end -}}
{{- end -}}

{{- define "deepseek-operator.certificateSecret" -}}
{{- default (printf "%s-tls" (include "deepseek-operator.fullname" .)) .Values.externalMetrics.existingSecret -}}
{{- end -}}

{{- /* The API server judges who writes: where it was asked for, or there are several replicas over all namespaces. */ -}}
{{- define "deepseek-operator.isFenced" -}}
{{- $asked := toString (.Values.fence).enabled -}}
{{- if or (eq $asked "true") (and (eq $asked "auto") (gt (int .Values.replicas) 1) (not .Values.watchNamespaces)) }}yes{{ end -}}
{{- end -}}
