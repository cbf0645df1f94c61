# The control plane, nodes for the platform, and what Karpenter needs to make those for the models.

variable "name" { type = string }
variable "kubernetes_version" { type = string }
variable "network_id" { type = string }
variable "subnet_ids" { type = list(string) }
variable "administrators_cidrs" { type = list(string) }
variable "pools" {
  type = map(object({
    machine_types = list(string)
    architecture  = optional(string, "amd64")
    spot          = optional(bool, false)
    minimum       = optional(number, 0)
    maximum       = number
  }))
}

locals {
  # By kind and architecture, what Amazon's images are called.
  images = {
    amd64 = "AL2023_x86_64_STANDARD"
    arm64 = "AL2023_ARM_64_STANDARD"
    gpu   = "AL2023_x86_64_NVIDIA"
  }
  # Pools that always have a node are groups; the rest is Karpenter's (manifests/nodes/karpenter).
  standing = { for kind, pool in var.pools : kind => pool if pool.minimum > 0 }
}

module "eks" {
  source  = "terraform-aws-modules/eks/aws"
  version = "21.19.0"

  name               = var.name
  kubernetes_version = var.kubernetes_version
  vpc_id             = var.network_id
  subnet_ids         = var.subnet_ids

  endpoint_private_access      = true
  endpoint_public_access       = length(var.administrators_cidrs) > 0
  endpoint_public_access_cidrs = var.administrators_cidrs

  # Whoever applies this is an administrator; roles for everybody else are Kubernetes' own.
  enable_cluster_creator_admin_permissions = true
  enabled_log_types                        = ["audit", "authenticator"]

  addons = {
    coredns                = {}
    kube-proxy             = {}
    eks-pod-identity-agent = { before_compute = true }
    vpc-cni = {
      before_compute = true
      # The manifests' policies are enforced.
      configuration_values = jsonencode({ enableNetworkPolicy = "true" })
    }
  }

  eks_managed_node_groups = merge(
    {
      # Knative, Kourier, KServe, the edge, check and console: never scaled to zero.
      platform = {
        ami_type       = local.images.amd64
        instance_types = ["m7i.xlarge"]
        min_size       = 2
        desired_size   = 3
        max_size       = 6
        labels         = { vision-node = "platform", "karpenter.sh/controller" = "true" }
      }
    },
    {
      for kind, pool in local.standing : kind => {
        ami_type       = kind == "gpu" ? local.images.gpu : local.images[pool.architecture]
        instance_types = pool.machine_types
        capacity_type  = pool.spot ? "SPOT" : "ON_DEMAND"
        min_size       = pool.minimum
        desired_size   = pool.minimum
        max_size       = pool.maximum
        labels         = { vision-node = kind }
        taints = kind != "gpu" ? {} : {
          gpu = { key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }
        }
      }
    }
  )

  node_security_group_tags = { "karpenter.sh/discovery" = var.name }
}

module "karpenter" {
  source  = "terraform-aws-modules/eks/aws//modules/karpenter"
  version = "21.19.0"

  cluster_name                  = module.eks.cluster_name
  node_iam_role_use_name_prefix = false
  node_iam_role_name            = "${var.name}-node"
}

output "name" { value = module.eks.cluster_name }
output "node_security_group" { value = module.eks.node_security_group_id }
output "karpenter_role" { value = module.karpenter.iam_role_arn }
