terraform {
  required_version = ">= 1.8"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.28"
    }
  }
  # State has secrets in it: a bucket of its own, with versions and a lock, made once before
  # (README). tofu init -backend-config=bucket=… -backend-config=region=…
  backend "s3" {
    key          = "vision.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = var.name }
  }
}
