{{- define "l5d.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: l5d
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "l5d.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "l5d.image" -}}
{{ .root.Values.images.registry }}{{ .name }}:{{ .root.Values.images.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* What every container may do: nothing. */}}
{{- define "l5d.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "l5d.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Pods behind Services. */}}
{{- define "l5d.endpoints" -}}
{{ .Values.size.endpoints | default (mul .Values.size.nodes 30) }}
{{- end }}

{{/* Namespaces whose Services namerd watches, as JSON; []: all. The proxies' own Service is in the release's. */}}
{{- define "l5d.watched" -}}
{{- $names := .Values.namerd.namespaces -}}
{{- if and $names (eq .Values.mode "daemonset") }}{{ $names = append $names .Release.Namespace | uniq }}{{ end -}}
{{ toJson $names }}
{{- end }}

{{/* Proxies that follow namerd. */}}
{{- define "l5d.followers" -}}
{{ if eq .Values.mode "sidecar" }}{{ include "l5d.endpoints" . }}{{ else }}{{ .Values.size.nodes }}{{ end }}
{{- end }}

{{/* The cost model of namerd (README.md): each replica can carry all proxies. MiB, and thousandths of a core. */}}
{{- define "l5d.namerd.memory" -}}
{{ add 32 (div (mul (include "l5d.endpoints" . | int) 25) 100000) (div (mul (include "l5d.followers" . | int) 19) 100) }}
{{- end }}
{{- define "l5d.namerd.cpu" -}}
{{ add 100 (div (mul (include "l5d.followers" . | int) 18) 100) }}
{{- end }}
{{- define "l5d.namerd.resources" -}}
{{- $memory := include "l5d.namerd.memory" . | int -}}
{{- $computed := dict "requests" (dict "cpu" (printf "%sm" (include "l5d.namerd.cpu" .)) "memory" (printf "%dMi" $memory))
      "limits" (dict "memory" (printf "%dMi" (add 64 (mul $memory 2)))) -}}
{{- mustMergeOverwrite $computed (deepCopy .Values.namerd.resources) | toYaml }}
{{- end }}

{{/* The same of a node proxy. */}}
{{- define "l5d.node.resources" -}}
{{- $memory := add 24 (div (mul .Values.size.connectionsPerNode 12) 1000) | int -}}
{{- $cpu := add 50 (div (mul .Values.size.requestsPerSecondPerNode 64) 1000) | int -}}
{{- $computed := dict "requests" (dict "cpu" (printf "%dm" $cpu) "memory" (printf "%dMi" $memory))
      "limits" (dict "memory" (printf "%dMi" (add 64 (mul $memory 3)))) -}}
{{- mustMergeOverwrite $computed (deepCopy .Values.node.resources) | toYaml }}
{{- end }}

{{/* Whether the new proxy of a host can start before the old one ends: only where no two pods may ask for one port. */}}
{{- define "l5d.node.surges" -}}
{{- if or .Values.hostNetwork (not .Values.node.hostPort) }}yes{{ end }}
{{- end }}

{{/* Ports of the routers, one a line: NAME PORT. */}}
{{- define "l5d.ports" -}}
{{- $prefixes := dict "http" "" "h2" "h2-" "grpc" "grpc-" -}}
{{- $root := . -}}
{{- range $kind := list "http" "h2" "grpc" -}}
{{- $router := index $root.Values.routers $kind -}}
{{- if $router.enabled }}
{{ index $prefixes $kind }}outgoing {{ $router.outgoing }}
{{ index $prefixes $kind }}incoming {{ $router.incoming }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether proxies prove who they are to each other: those of hosts. */}}
{{- define "l5d.identity" -}}
{{- if and .Values.identity.enabled (eq .Values.mode "daemonset") }}yes{{ end }}
{{- end }}
