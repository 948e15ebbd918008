{{- define "dormouse.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Of every object. */}}
{{- define "dormouse.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: dormouse
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What selects pods of one part: dict "part" "operator" "root" $ */}}
{{- define "dormouse.selector" -}}
app.kubernetes.io/name: dormouse
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* Fits the Pod Security level "restricted". */}}
{{- define "dormouse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "dormouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Where a pod may run and what it may use: dict "part" .Values.operator */}}
{{- define "dormouse.placement" -}}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "dormouse.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* '' for core. */}}
{{- define "dormouse.groupOf" -}}
{{- if contains "/" . -}}{{ (splitList "/" .) | first }}{{- end -}}
{{- end -}}

{{/* As --kinds has it: apps/v1/Deployment,apps/v1/StatefulSet */}}
{{- define "dormouse.kinds" -}}
{{- $names := list -}}
{{- range .Values.kinds -}}
{{- $names = append $names (printf "%s/%s" .apiVersion .kind) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* What the schema can't say. */}}
{{- define "dormouse.check" -}}
{{- if gt (int .Values.gatewayPorts.from) (int .Values.gatewayPorts.to) -}}
{{- fail (printf "gatewayPorts: from (%d) is above to (%d)" (int .Values.gatewayPorts.from) (int .Values.gatewayPorts.to)) -}}
{{- end -}}
{{- if and .Values.gateway.autoscaling.enabled (eq .Values.gateway.kind "DaemonSet") -}}
{{- fail "gateway.autoscaling: a DaemonSet has one pod per node; use gateway.kind Deployment, or leave autoscaling off" -}}
{{- end -}}
{{- if gt (int .Values.gateway.autoscaling.minReplicas) (int .Values.gateway.autoscaling.maxReplicas) -}}
{{- fail "gateway.autoscaling: minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and .Values.gateway.service.externalTrafficPolicy (eq .Values.gateway.service.type "ClusterIP") -}}
{{- fail "gateway.service.externalTrafficPolicy: only for type NodePort or LoadBalancer" -}}
{{- end -}}
{{- with .Values.admin -}}
{{- if .enabled -}}
{{- if not .namespaces -}}
{{- fail "admin.namespaces: name at least one namespace where backends may be made" -}}
{{- end -}}
{{- if not .tokens -}}
{{- fail "admin.tokens: without them nobody is let in; make one with: dormouse hash-key --generate" -}}
{{- end -}}
{{- if not .tls.secretName -}}
{{- fail "admin.tls.secretName: the admin API is served over TLS only; name a Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.gateway.service.extraPorts -}}
{{- $target := int (.targetPort | default .port) -}}
{{- if lt $target 1024 -}}
{{- fail (printf "gateway.service.extraPorts: %s: gateways run without privileges and can't listen on port %d; give a targetPort of 1024 or more" .name $target) -}}
{{- end -}}
{{- if and (ge $target (int $.Values.gatewayPorts.from)) (le $target (int $.Values.gatewayPorts.to)) -}}
{{- fail (printf "gateway.service.extraPorts: %s: port %d lies within gatewayPorts" .name $target) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Peers of a NetworkPolicy. */}}
{{- define "dormouse.metricsPeers" -}}
{{- if .Values.networkPolicy.metricsNamespaces -}}
- namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{- toYaml .Values.networkPolicy.metricsNamespaces | nindent 10 }}
{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end -}}

{{/* true or '' */}}
{{- define "dormouse.createClass" -}}
{{- $wish := toString .Values.gatewayApi.createClass -}}
{{- if or (eq $wish "true") (and (eq $wish "auto") (.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1/GatewayClass")) -}}true{{- end -}}
{{- end -}}

{{/* true or '' */}}
{{- define "dormouse.keda" -}}
{{- $wish := toString .Values.keda.enabled -}}
{{- if or (eq $wish "true") (and (eq $wish "auto") (.Capabilities.APIVersions.Has "keda.sh/v1alpha1/ScaledObject")) -}}true{{- end -}}
{{- end -}}
