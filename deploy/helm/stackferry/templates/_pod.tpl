{{/* Labels of one part: (dict "root" $ "name" "exporter") */}}
{{- define "stackferry.selector" -}}
app.kubernetes.io/name: stackferry
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "stackferry.labels" -}}
{{ include "stackferry.selector" . }}
app.kubernetes.io/part-of: stackferry
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* What every pod has, ours or not: no token of the API, no root. Service links would be read as settings. */}}
{{- define "stackferry.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch # else each start opens PGDATA and Erlang's cookie to the group, and both refuse that
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "stackferry.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A value as text: of a large number all its digits, not 1e+06 */}}
{{- define "stackferry.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* A claim of a StatefulSet, or its like: (dict "storage" .Values....storage) */}}
{{- define "stackferry.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .className }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end }}

{{/*
A service of ours: (dict "root" $ "name" "exporter" "secrets" (dict PATH KEY) "env" (dict NAME VALUE) ...).
Also: "more", further variables (a list, as a container has them); "scaled", whether something else says how many;
"port"; "volume", a claim that is mounted at /state.
*/}}
{{- define "stackferry.deployment" -}}
{{- $values := index .root.Values .name -}}
{{- $tag := $values.tag | default .root.Values.image.tag | default .root.Chart.AppVersion | toString -}}
{{- $image := printf "stackferry-%s:%s" .name $tag -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  labels:
    {{- include "stackferry.labels" . | nindent 4 }}
spec:
  {{- if not .scaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  {{- if .volume }}
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels:
      {{- include "stackferry.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "stackferry.labels" . | nindent 8 }}
    spec:
      {{- include "stackferry.pod" (dict "root" .root "uid" 10001) | nindent 6 }}
      terminationGracePeriodSeconds: 40 # a little longer than STACKFERRY_DRAIN_TIMEOUT
      containers:
        - name: {{ .name }}
          image: {{ with .root.Values.image.registry }}{{ . }}/{{ end }}{{ $image }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- include "stackferry.confined" . | nindent 10 }}
          env:
            - name: STACKFERRY_AMQP_URI_FILE
              value: /run/secrets/amqp-{{ .name }}
            {{- range $name, $value := .env }}
            {{- if not (hasKey $values.env $name) }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
            {{- end }}
            {{- with .more }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- range $name, $value := $values.env }}
            - name: {{ $name }}
              value: {{ include "stackferry.text" $value | quote }}
            {{- end }}
          ports:
            - name: http
              containerPort: {{ .port }}
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 15
            timeoutSeconds: 5
            failureThreshold: 4
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: secrets, mountPath: /run/secrets, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- if .volume }}
            - {name: state, mountPath: /state}
            {{- end }}
      volumes:
        - name: secrets
          secret:
            secretName: {{ .root.Values.secret | quote }}
            defaultMode: 0440
            items:
              - {key: amqp-{{ .name }}, path: amqp-{{ .name }}}
              {{- range $path, $key := .secrets }}
              - {key: {{ $key }}, path: {{ $path }}}
              {{- end }}
              {{- range $values.files }}
              - {key: {{ . | quote }}, path: {{ . | quote }}}
              {{- end }}
        - name: tmp
          emptyDir: {}
        {{- if .volume }}
        - name: state
          persistentVolumeClaim: {claimName: {{ .volume }}}
        {{- end }}
      {{- range $field := list "nodeSelector" "tolerations" "affinity" }}
      {{- with index $values $field }}
      {{ $field }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
{{- end }}

{{/* Peers of a NetworkPolicy by their networks: a list of CIDRs */}}
{{- define "stackferry.blocks" -}}
[{{ range $i, $block := . }}{{ if $i }}, {{ end }}{ipBlock: {cidr: {{ $block | quote }}}}{{ end }}]
{{- end }}
