{{/* Name of the objects: that of the release, short enough for -endpoint-picker (63 in all). */}}
{{- define "qstar.name" -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels by which Service, policy and pool select the pods of the server. They never change. */}}
{{- define "qstar.selector" -}}
app.kubernetes.io/name: qstar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "qstar.labels" -}}
{{ include "qstar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Labels of the endpoint picker. */}}
{{- define "qstar.picker.selector" -}}
app.kubernetes.io/name: qstar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: endpoint-picker
{{- end -}}

{{/* A setting as the text of a variable. Numbers arrive as floats, which print as 1e+06. */}}
{{- define "qstar.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Seconds from the deletion of a pod to SIGKILL. The server may need its shutdown_grace_s twice,
for the last bytes and for its engine; 10 are for the process to end. */}}
{{- define "qstar.terminationSeconds" -}}
{{- $shutdown := ceil .Values.settings.shutdown_grace_s -}}
{{- add .Values.preStopSeconds (ceil .Values.settings.drain_grace_s) $shutdown $shutdown 10 -}}
{{- end -}}

{{/* What the schema of the values cannot say. */}}
{{- define "qstar.check" -}}
{{- $scraped := or .Values.serviceMonitor.enabled .Values.inferenceExtension.enabled -}}
{{- if and $scraped (not .Values.settings.open_metrics) -}}
{{- fail "serviceMonitor and inferenceExtension read /metrics without a key: set settings.open_metrics to true" -}}
{{- end -}}
{{- if and .Values.models.claim.create .Values.models.claim.existing -}}
{{- fail "models.claim: set either create or existing, not both" -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt .minReplicas .maxReplicas) -}}
{{- fail "autoscaling: minReplicas is greater than maxReplicas" -}}
{{- end -}}
{{- end -}}
{{- end -}}
