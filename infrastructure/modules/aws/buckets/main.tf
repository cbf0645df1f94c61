# Four buckets, each with versions. Those of the registry, of backups and of the accounts' mirror cannot
# be deleted before their time, by whoever has the keys. What customers let us keep is the other way
# round: it has to go when they say so, and nothing of it stays longer than they can ask for.

variable "prefix" { type = string }
variable "locked_days" { type = number }
variable "protected" { type = bool }

locals {
  # A lock must be there from a bucket's first day.
  locked = toset(["registry", "backups", "mirror"])
  names  = setunion(local.locked, ["captures"])
  # Days that a customer may ask for, and one more: `accounts retain` was there before.
  captured_days = 91
  # A deleted capture's key is gone with its row, so that its older versions open for nobody.
  captured_version_days = 7
}

resource "aws_s3_bucket" "this" {
  for_each = local.names

  bucket              = "${var.prefix}-${each.key}"
  object_lock_enabled = contains(local.locked, each.key)
  force_destroy       = !var.protected
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  for_each   = local.locked
  depends_on = [aws_s3_bucket_versioning.this]

  bucket = aws_s3_bucket.this[each.key].id
  rule {
    default_retention {
      # GOVERNANCE where it may have to go again: COMPLIANCE cannot be undone by the account's owner.
      mode = var.protected ? "COMPLIANCE" : "GOVERNANCE"
      days = var.locked_days
    }
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each   = aws_s3_bucket.this
  depends_on = [aws_s3_bucket_versioning.this]

  bucket = each.value.id
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = each.key == "captures" ? local.captured_version_days : var.locked_days + 60
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
  dynamic "rule" {
    # Days and markers are not for the same rule.
    for_each = toset(each.key == "captures" ? ["captures", "markers"] : [])
    content {
      id     = rule.key
      status = "Enabled"
      filter {}
      expiration {
        days                         = rule.key == "captures" ? local.captured_days : null
        expired_object_delete_marker = rule.key == "markers" ? true : null
      }
    }
  }
}

data "aws_iam_policy_document" "tls" {
  for_each = aws_s3_bucket.this

  statement {
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "tls" {
  for_each   = aws_s3_bucket.this
  depends_on = [aws_s3_bucket_public_access_block.this]

  bucket = each.value.id
  policy = data.aws_iam_policy_document.tls[each.key].json
}

output "names" { value = { for key, bucket in aws_s3_bucket.this : key => bucket.id } }
output "arns" { value = { for key, bucket in aws_s3_bucket.this : key => bucket.arn } }
