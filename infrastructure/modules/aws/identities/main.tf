# What each Kubernetes service account may do at the provider, without a key: EKS Pod Identity.

variable "cluster" { type = string }
variable "buckets" { type = map(string) }
variable "zone" { type = string }

locals {
  # Reading is every version's; writing never deletes one. What customers let us keep is deleted when
  # they say so, and when its days are over; its versions are the bucket's own to delete.
  read  = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"]
  write = concat(local.read, ["s3:PutObject", "s3:AbortMultipartUpload"])
  keep  = concat(local.write, ["s3:DeleteObject"])

  # By namespace and service account of the manifests: which buckets, and how.
  accounts = {
    "vision/vision"    = { registry = local.read }
    "vision/rollout"   = { registry = local.write }
    "vision/lifecycle" = { registry = local.write }
    # The console, and what has no account of its own: the check and the accounts' jobs.
    "vision/console"            = { mirror = local.write, captures = local.keep }
    "vision/default"            = { mirror = local.write, captures = local.keep }
    "cert-manager/cert-manager" = {}
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.accounts

  name_prefix        = substr("${var.cluster}-${basename(each.key)}", 0, 38)
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "buckets" {
  for_each = { for key, rights in local.accounts : key => rights if length(rights) > 0 }

  dynamic "statement" {
    for_each = each.value
    content {
      actions   = statement.value
      resources = [var.buckets[statement.key], "${var.buckets[statement.key]}/*"]
    }
  }
}

resource "aws_iam_role_policy" "buckets" {
  for_each = data.aws_iam_policy_document.buckets

  role   = aws_iam_role.this[each.key].id
  policy = each.value.json
}

# DNS-01: records of this zone alone.
data "aws_iam_policy_document" "dns" {
  statement {
    actions   = ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"]
    resources = [var.zone]
  }
  statement {
    actions   = ["route53:GetChange", "route53:ListHostedZonesByName"]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "dns" {
  role   = aws_iam_role.this["cert-manager/cert-manager"].id
  policy = data.aws_iam_policy_document.dns.json
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = aws_iam_role.this

  cluster_name    = var.cluster
  namespace       = dirname(each.key)
  service_account = basename(each.key)
  role_arn        = each.value.arn
}

output "roles" { value = { for key, role in aws_iam_role.this : key => role.arn } }
