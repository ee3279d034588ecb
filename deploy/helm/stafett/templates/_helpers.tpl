{{- define "stafett.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "stafett.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "stafett.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "stafett.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells the pods of this release from others; it can never change for a Deployment. */}}
{{- define "stafett.selector" -}}
app.kubernetes.io/name: {{ include "stafett.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stafett.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{ include "stafett.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "stafett.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
{{- end -}}

{{/* The same in every pod. Kubernetes' own STAFETT_SERVICE_HOST, STAFETT_PORT and so on, which it
makes from the name of a Service, would be taken for settings: so enableServiceLinks is off. */}}
{{- define "stafett.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: data
    emptyDir: {}
  - name: tmp
    emptyDir: {}
  - name: database
    secret:
      secretName: {{ required "set database.existingSecret: the Secret with the address of PostgreSQL" .Values.database.existingSecret | quote }}
      defaultMode: 0440
      items:
        - key: {{ .Values.database.key | quote }}
          path: url
{{- end -}}

{{- define "stafett.container" -}}
image: {{ include "stafett.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{- define "stafett.env" -}}
- name: STAFETT_DATABASE_URL_FILE
  value: /run/secrets/stafett/database/url
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "stafett.mounts" -}}
- name: data
  mountPath: /data
- name: tmp
  mountPath: /tmp
- name: database
  mountPath: /run/secrets/stafett/database
  readOnly: true
{{- end -}}

{{/* Time for the proxies to learn that the pod is leaving: they still send to it until then. */}}
{{- define "stafett.probes" -}}
startupProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
lifecycle:
  preStop:
    exec:
      command: [sleep, "5"]
{{- end -}}

{{- define "stafett.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "stafett.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "stafett.backend" -}}
{service: {name: {{ include "stafett.fullname" . }}, port: {name: http}}}
{{- end -}}

{{/* Where a component's pods may run. */}}
{{- define "stafett.placement" -}}
topologySpreadConstraints:
  {{- include "stafett.spread" . | nindent 2 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
