{{/* The configuration of namerd. */}}
{{- define "l5d.namerd.config" -}}
{{- $ns := .Release.Namespace -}}
{{- $accounts := list (printf "%s/l5d-node" $ns) -}}
{{- if eq .Values.mode "sidecar" }}{{ $accounts = .Values.sidecar.serviceAccounts }}{{ end -}}
admin:
  ip: {{ .Values.listen | quote }}
  port: 9991
  shutdownGraceMs: {{ .Values.namerd.shutdownGraceMs }}
  # Whoever reaches this port may look, and change nothing.
  security: {controlEnabled: false, readOnly: true}
storage:
  kind: io.l5d.k8s
  namespace: {{ $ns }}
namers:
- kind: io.l5d.k8s
  {{- if .Values.namerd.namespaces }}
  namespaces: {{ include "l5d.watched" . }}
  {{- end }}
{{- if .Values.namerd.ingress.enabled }}
ingress:
  class: {{ .Values.namerd.ingress.class | quote }}
{{- end }}
{{- if include "l5d.identity" . }}
ca:
  kind: io.l5d.k8s.secret
  namespace: {{ $ns }}
  name: {{ .Values.identity.secretName }}
  trustDomain: {{ .Values.trustDomain }}
  lifeSecs: {{ .Values.identity.certificateSeconds | int }}
  rootLifeDays: {{ .Values.identity.rootDays }}
{{- end }}
interfaces:
- kind: io.l5d.mesh
  ip: {{ .Values.listen | quote }}
  port: 4321
  {{- $followers := include "l5d.followers" . | int }}
  {{- if gt $followers 5000 }}
  limits: {connections: {{ min 1000000 (mul 2 $followers) }}, sessions: {{ max 10000 $followers }}}
  {{- end }}
  auth:
    nodes: serviceAccount
    audience: {{ .Values.namerd.audience }}
    {{- with $accounts }}
    serviceAccounts: {{ toJson . }}
    {{- end }}
  {{- if .Values.namerd.tls.secretName }}
  tls: {certPath: /etc/l5d-tls/tls.crt, keyPath: /etc/l5d-tls/tls.key}
  {{- end }}
- kind: io.l5d.httpController
  ip: {{ .Values.listen | quote }}
  port: 4180
  {{- if and (eq .Values.namerd.http.reads "none") (eq .Values.namerd.http.writes "none") }}
  auth: none
  {{- else }}
  auth: {reads: {{ .Values.namerd.http.reads }}, writes: {{ .Values.namerd.http.writes }}}
  {{- end }}
  {{- if .Values.namerd.tls.secretName }}
  tls: {certPath: /etc/l5d-tls/tls.crt, keyPath: /etc/l5d-tls/tls.key}
  {{- end }}
{{- end }}

{{/* How proxies follow namerd: every replica has an address of its own. */}}
{{- define "l5d.interpreter" -}}
kind: io.l5d.mesh
dst: /$/inet/namerd-mesh.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}/4321
root: /{{ .Values.dtabNamespace }}
tokenFile: /var/run/secrets/l5d/token
{{- if .Values.namerd.tls.secretName }}
tls: {commonName: namerd-mesh.{{ .Release.Namespace }}.svc, trustCertsBundle: /etc/l5d-ca/ca.crt}
{{- end }}
{{- end }}

{{/* The head of a proxy's configuration. In: root, admin (its address). */}}
{{- define "l5d.proxy.head" -}}
{{- $values := .root.Values -}}
admin:
  ip: {{ .admin | quote }}
  port: {{ $values.node.admin.port }}
  shutdownGraceMs: {{ $values.node.shutdownGraceMs }}
  # Whoever reaches this port may look, and change nothing.
  security: {controlEnabled: false}
  {{- if .reuse }}
  socketOptions: {reusePort: true}
  {{- end }}
{{- if include "l5d.identity" .root }}
identity:
  kind: io.l5d.namerd
  plaintext: {{ $values.identity.plaintext }}
{{- end }}
{{- end }}

{{/* A router. In: root, label, protocol, identifier, ip, port, reuse, transformer. */}}
{{- define "l5d.router" -}}
- protocol: {{ .protocol }}
  label: {{ .label }}
  {{- with .identifier }}
  identifier: {{ . }}
  {{- end }}
  servers:
  - ip: {{ .ip | quote }}
    port: {{ .port }}
    {{- if .reuse }}
    socketOptions: {reusePort: true}
    {{- end }}
  interpreter:
    {{- include "l5d.interpreter" .root | nindent 4 }}
    transformers:
    - {{ .transformer }}
{{- end }}

{{/* All routers of a proxy. In: root, in and out (functions of the port that make the transformers), ip of outgoing, reuse. */}}
{{- define "l5d.proxy.routers" -}}
{{- $ := . -}}
routers:
{{- $kinds := list
  (dict "name" "http" "prefix" "" "protocol" "http" "identifier" "")
  (dict "name" "h2" "prefix" "h2-" "protocol" "h2" "identifier" "")
  (dict "name" "grpc" "prefix" "grpc-" "protocol" "h2" "identifier" "{kind: io.l5d.header.path, segments: 1}") }}
{{- range $kind := $kinds }}
{{- $ports := index $.root.Values.routers $kind.name }}
{{- if $ports.enabled }}
{{- $incoming := printf "%sincoming" $kind.prefix }}
{{- $out := printf "{kind: io.l5d.k8s.daemonset, namespace: %s, service: l5d, port: %s, hostNetwork: %t}" $.root.Release.Namespace $incoming $.root.Values.hostNetwork }}
{{- $in := printf "{kind: io.l5d.k8s.localnode, hostNetwork: %t}" $.root.Values.hostNetwork }}
{{- if $.sidecar }}
{{- $out = printf "{kind: io.l5d.port, port: %d}" (int $ports.incoming) }}
{{- $in = "{kind: io.l5d.localhost}" }}
{{- end }}
{{ include "l5d.router" (dict "root" $.root "label" (printf "%soutgoing" $kind.prefix) "protocol" $kind.protocol
     "identifier" $kind.identifier "ip" $.ip "port" $ports.outgoing "reuse" $.reuse "transformer" $out) }}
{{ include "l5d.router" (dict "root" $.root "label" $incoming "protocol" $kind.protocol
     "identifier" $kind.identifier "ip" $.root.Values.listen "port" $ports.incoming "reuse" $.reuse "transformer" $in) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The configuration of the proxies of a daemonset. */}}
{{- define "l5d.node.config" -}}
{{- $reuse := and .Values.hostNetwork true -}}
{{- $admin := .Values.node.admin.ip | default (ternary "127.0.0.1" .Values.listen .Values.hostNetwork) -}}
{{ include "l5d.proxy.head" (dict "root" . "admin" $admin "reuse" $reuse) }}
{{ include "l5d.proxy.routers" (dict "root" . "ip" .Values.listen "reuse" $reuse "sidecar" false) }}
{{- end }}

{{/* The configuration of the proxies in pods. */}}
{{- define "l5d.sidecar.config" -}}
{{ include "l5d.proxy.head" (dict "root" . "admin" .Values.listen "reuse" false) }}
{{ include "l5d.proxy.routers" (dict "root" . "ip" "127.0.0.1" "reuse" false "sidecar" true) }}
{{- end }}
