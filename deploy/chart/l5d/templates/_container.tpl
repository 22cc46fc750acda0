{{/* The container of a proxy without name and ports. In: root, sidecar. */}}
{{- define "l5d.proxy.container" -}}
{{- $values := .root.Values -}}
image: {{ include "l5d.image" (dict "root" .root "name" $values.images.node) }}
imagePullPolicy: {{ $values.images.pullPolicy }}
args: [/etc/l5d/node.yaml, --warm-file, /var/lib/l5d-node/warm]
env:
- {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: RUST_LOG, value: {{ $values.node.log | quote }}}
livenessProbe:
  # Answered by a thread of its own: silent only if the process hangs.
  httpGet: {path: /live, port: {{ $values.node.admin.port }}{{ if .loopback }}, host: 127.0.0.1{{ end }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  # Once namerd has answered (or a warm file is there) and the certificate has come; 30 s after the start in any case.
  httpGet: {path: /ready, port: {{ $values.node.admin.port }}{{ if .loopback }}, host: 127.0.0.1{{ end }}}
  periodSeconds: 2
  timeoutSeconds: 2
resources:
  {{- include "l5d.node.resources" .root | nindent 2 }}
securityContext:
  {{- include "l5d.containerSecurity" .root | nindent 2 }}
volumeMounts:
- {name: {{ .volumes }}config, mountPath: /etc/l5d, readOnly: true}
- {name: {{ .volumes }}token, mountPath: /var/run/secrets/l5d, readOnly: true}
- {name: {{ .volumes }}warm, mountPath: /var/lib/l5d-node}
{{- if $values.namerd.tls.secretName }}
- {name: {{ .volumes }}ca, mountPath: /etc/l5d-ca, readOnly: true}
{{- end }}
{{- end }}

{{/* Its volumes. In: root, config (the ConfigMap), volumes (what their names begin with). */}}
{{- define "l5d.proxy.volumes" -}}
{{- $values := .root.Values -}}
- name: {{ .volumes }}config
  configMap: {name: {{ .config }}}
# Made for namerd and bound to this pod, hence to its host; nobody else takes it. The kubelet renews it.
- name: {{ .volumes }}token
  projected:
    sources:
    - serviceAccountToken: {path: token, audience: {{ $values.namerd.audience }}, expirationSeconds: 3600}
- name: {{ .volumes }}warm
  {{- if eq $values.node.warm.kind "hostPath" }}
  hostPath: {path: {{ $values.node.warm.path }}, type: Directory}
  {{- else }}
  emptyDir: {sizeLimit: 64Mi}
  {{- end }}
{{- if $values.namerd.tls.secretName }}
- name: {{ .volumes }}ca
  secret: {secretName: {{ $values.namerd.tls.secretName }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
