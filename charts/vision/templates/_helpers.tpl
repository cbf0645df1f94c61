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
{{ include "vision.accounts" . | sha256sum }}
{{- end }}

{{- /* What is in ConfigMap accounts. */}}
{{- define "vision.accounts" -}}
{{- $tls := ternary (dict "VISION_DATABASE_CA_FILE" "/authority/ca.crt") dict .Values.tls.enabled -}}
{{ toYaml (mergeOverwrite $tls .Values.accounts.settings) }}
{{- end }}

{{- /* What is in ConfigMap lifecycle-settings. */}}
{{- define "vision.lifecycle" -}}
{{- $trainer := ternary "torch-distributed" "" .Values.lifecycle.trainer.enabled -}}
{{- $own := dict "VISION_LIFECYCLE_NAMESPACE" .Release.Namespace "VISION_LIFECYCLE_TRAINER" $trainer -}}
{{ toYaml (mergeOverwrite $own .Values.lifecycle.settings) }}
{{- end }}

{{- /* Which nodes a server goes to: list, the service's name and the component's. */}}
{{- define "vision.node-kinds" -}}
{{- if eq (index . 1) "predictor" -}}
nodeAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      preference:
        matchExpressions: [{key: vision-node, operator: In, values: [bfloat16]}]
    - weight: 50
      preference:
        matchExpressions: [{key: feature.node.kubernetes.io/cpu-cpuid.AVX512BF16, operator: Exists}]
{{- else if eq (index . 0) "land-cover" -}}
nodeAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      preference:
        matchExpressions: [{key: vision-node, operator: In, values: [memory]}]
{{- else -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions: [{key: vision-node, operator: NotIn, values: [gpu, memory]}]
{{- end }}
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

{{- /* What predictor and transformer have in common: list, root, component's name and values, service. */}}
{{- define "vision.component" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $values := index . 2 -}}
{{- $standard := $root.Values.standard.enabled -}}
{{- $least := ternary 2 (ternary 1 0 $root.Values.alwaysOn.enabled) (or $standard $root.Values.highAvailability.enabled) -}}
minReplicas: {{ max $least (int $values.minReplicas) }}
maxReplicas: {{ $values.maxReplicas }}
{{- if $standard }}
scaleMetric: cpu
scaleTarget: 70  # of what is requested, in %
deploymentStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
{{- else }}
scaleMetric: concurrency
scaleTarget: {{ $values.scaleTarget }}
{{- end }}
containerConcurrency: {{ $values.containerConcurrency }}
timeout: {{ $values.timeout }}
serviceAccountName: vision
automountServiceAccountToken: false
{{- if $values.affinity }}
affinity: {{- toYaml $values.affinity | nindent 2 }}
{{- else if $root.Values.nodeKinds.enabled }}
affinity: {{- include "vision.node-kinds" (list (index . 3) $name) | nindent 2 }}
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
