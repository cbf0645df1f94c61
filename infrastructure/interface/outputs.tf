# What every provider's folder gives; values are examples, so that this folder is valid by itself.

output "kubeconfig_command" {
  description = "writes the cluster into KUBECONFIG"
  value       = "aws eks update-kubeconfig --name ${var.name} --region ${var.region}"
}

output "registry_uri" {
  description = "VISION_REGISTRY: revisions, data and history"
  value       = "s3://${var.name}-registry"
}

output "backups_uri" {
  description = "VISION_BACKUPS, in a bucket that only grows"
  value       = "s3://${var.name}-backups"
}

output "mirror_uri" {
  description = "VISION_ACCOUNTS_MIRROR"
  value       = "s3://${var.name}-mirror/accounts"
}

output "captures_uri" {
  description = "VISION_CAPTURE_STORE: sealed requests that customers let us keep, in a bucket that forgets them"
  value       = "s3://${var.name}-captures/accounts"
}

output "image_repository" {
  description = "IMAGE_REPOSITORY"
  value       = "registry.example.com/${var.name}"
}

output "database_host" {
  description = "of VISION_DATABASE_URL, by TLS alone"
  value       = "database.${var.domain}"
}

output "database_secret" {
  description = "where the provider keeps its user and password, which it changes itself"
  value       = "secret/${var.name}"
}

output "name_servers" {
  description = "of the zone, for whoever has the domain above it"
  value       = ["ns1.example.com", "ns2.example.com"]
}

output "identities" {
  description = "by Kubernetes service account, namespace/name: what it is to the provider; no keys"
  value       = { "vision/registry" = "arn" }
}
