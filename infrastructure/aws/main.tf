data "aws_availability_zones" "all" {
  state = "available"
}

data "aws_caller_identity" "here" {}

locals {
  zones = slice(data.aws_availability_zones.all.names, 0, var.zones)
  # A bucket's name is the world's.
  account = data.aws_caller_identity.here.account_id
}

module "network" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "6.6.0"

  name             = var.name
  cidr             = "10.0.0.0/16"
  azs              = local.zones
  private_subnets  = [for index, _ in local.zones : cidrsubnet("10.0.0.0/16", 4, index)]
  public_subnets   = [for index, _ in local.zones : cidrsubnet("10.0.0.0/16", 8, 128 + index)]
  database_subnets = [for index, _ in local.zones : cidrsubnet("10.0.0.0/16", 8, 144 + index)]

  # One for each zone: a zone that is gone takes nobody else's way out with it.
  enable_nat_gateway     = true
  one_nat_gateway_per_az = true

  public_subnet_tags  = { "kubernetes.io/role/elb" = 1 }
  private_subnet_tags = { "kubernetes.io/role/internal-elb" = 1, "karpenter.sh/discovery" = var.name }
}

module "cluster" {
  source = "../modules/aws/cluster"

  name                 = var.name
  kubernetes_version   = var.kubernetes_version
  network_id           = module.network.vpc_id
  subnet_ids           = module.network.private_subnets
  administrators_cidrs = var.administrators_cidrs
  pools                = var.pools
}

module "buckets" {
  source = "../modules/aws/buckets"

  prefix      = "${var.name}-${local.account}"
  locked_days = var.locked_days
  protected   = var.protected
}

module "database" {
  source = "../modules/aws/database"

  name         = var.name
  gigabytes    = var.database_gigabytes
  network_id   = module.network.vpc_id
  subnet_group = module.network.database_subnet_group_name
  callers      = module.cluster.node_security_group
  several      = var.zones > 1
  protected    = var.protected
}

module "dns" {
  source = "../modules/aws/dns"

  domain    = var.domain
  protected = var.protected
}

module "registry" {
  source = "../modules/aws/registry"

  name      = var.name
  protected = var.protected
}

module "identities" {
  source = "../modules/aws/identities"

  cluster = module.cluster.name
  buckets = module.buckets.arns
  zone    = module.dns.zone_arn
}
