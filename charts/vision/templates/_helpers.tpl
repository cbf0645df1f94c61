{{- /* An image by its name: list, root and name. */}}
{{- define "vision.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $images := $root.Values.images -}}
{{- with get $images.digests $name -}}
{{ $images.repository }}/{{ $name }}@{{ . }}
{{- else -}}
{{ $images.repository }}/{{ $name }}:{{ $images.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* Digest of what the pods of accounts read at their start. */}}
{{- define "vision.settings" -}}
{{ toYaml .Values.accounts.settings | sha256sum }}
{{- end }}

{{- /* Digest of the image that migrates the accounts' tables. */}}
{{- define "vision.migration" -}}
{{ include "vision.image" (list . "vision-accounts") | sha256sum | trunc 8 }}
{{- end }}

{{- /* Where both servers send metrics and spans, and how many of these. */}}
{{- define "vision.otlp" -}}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .Values.otlp.endpoint | quote }}
OTEL_METRICS_EXPORTER: otlp
OTEL_TRACES_SAMPLER: parentbased_traceidratio
OTEL_TRACES_SAMPLER_ARG: {{ .Values.otlp.sampled | quote }}
{{- end }}

{{- /* What predictor and transformer have in common: list, root, component's name and values. */}}
{{- define "vision.component" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $values := index . 2 -}}
{{- $least := ternary 2 (ternary 1 0 $root.Values.alwaysOn.enabled) $root.Values.highAvailability.enabled -}}
minReplicas: {{ max $least (int $values.minReplicas) }}
maxReplicas: {{ $values.maxReplicas }}
scaleMetric: concurrency
scaleTarget: {{ $values.scaleTarget }}
containerConcurrency: {{ $values.containerConcurrency }}
timeout: {{ $values.timeout }}
serviceAccountName: vision
automountServiceAccountToken: false
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $root.Values.highAvailability.enabled }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {component: {{ $name }}}
    matchLabelKeys: [serving.knative.dev/revision]
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {component: {{ $name }}}
    matchLabelKeys: [serving.knative.dev/revision]
{{- end }}
{{- end }}

{{- /* The part of a container that is the same in both: its values. */}}
{{- define "vision.container" -}}
ports:
  - {name: http1, containerPort: 8080, protocol: TCP}
# Without a period Knative probes many times a second until ready.
readinessProbe:
  httpGet: {path: /v2/health/ready, port: 8080}
livenessProbe:
  httpGet: {path: /v2/health/live, port: 8080}
  # On a busy node a start takes a minute; one that never ends, the revision's deadline ends.
  initialDelaySeconds: 120
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* Environment as Kubernetes wants it, each name once: what a release says wins. */}}
{{- define "vision.environment" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
