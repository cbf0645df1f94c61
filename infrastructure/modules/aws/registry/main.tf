# A place for each image; a tag stays what it was.

variable "name" { type = string }
variable "protected" { type = bool }

locals {
  images = toset(["vision-predictor", "vision-transformer", "vision-accounts", "vision-lifecycle", "charts/vision"])
}

resource "aws_ecr_repository" "this" {
  for_each = local.images

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.protected
  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "images of pull requests go after two weeks"
      selection = {
        tagStatus      = "tagged"
        tagPatternList = ["pr-*"]
        countType      = "sinceImagePushed"
        countUnit      = "days"
        countNumber    = 14
      }
      action = { type = "expire" }
    }]
  })
}

output "repository" {
  value = trimsuffix(aws_ecr_repository.this["vision-predictor"].repository_url, "/vision-predictor")
}
