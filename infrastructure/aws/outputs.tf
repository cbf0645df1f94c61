# The interface's (infrastructure/interface), which tests/infrastructure compares.

output "kubeconfig_command" {
  description = "writes the cluster into KUBECONFIG"
  value       = "aws eks update-kubeconfig --name ${module.cluster.name} --region ${var.region}"
}

output "registry_uri" {
  description = "VISION_REGISTRY: revisions, data and history"
  value       = "s3://${module.buckets.names["registry"]}"
}

output "backups_uri" {
  description = "VISION_BACKUPS, in a bucket that only grows"
  value       = "s3://${module.buckets.names["backups"]}"
}

output "mirror_uri" {
  description = "VISION_ACCOUNTS_MIRROR"
  value       = "s3://${module.buckets.names["mirror"]}/accounts"
}

output "captures_uri" {
  description = "VISION_CAPTURE_STORE: sealed requests that customers let us keep, in a bucket that forgets them"
  value       = "s3://${module.buckets.names["captures"]}/accounts"
}

output "image_repository" {
  description = "IMAGE_REPOSITORY"
  value       = module.registry.repository
}

output "database_host" {
  description = "of VISION_DATABASE_URL, by TLS alone"
  value       = module.database.host
}

output "database_secret" {
  description = "where the provider keeps its user and password, which it changes itself"
  value       = module.database.secret
}

output "name_servers" {
  description = "of the zone, for whoever has the domain above it"
  value       = module.dns.name_servers
}

output "identities" {
  description = "by Kubernetes service account, namespace/name: what it is to the provider; no keys"
  value       = merge(module.identities.roles, { "kube-system/karpenter" = module.cluster.karpenter_role })
}
