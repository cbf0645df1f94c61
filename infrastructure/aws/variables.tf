# The interface's (infrastructure/interface), which tests/infrastructure compares.

variable "name" {
  description = "of everything that is made: cluster, buckets, database"
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,29}$", var.name))
    error_message = "3 to 30 small letters, digits and hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "where all of it is"
  type        = string
}

variable "zones" {
  description = "how many availability zones nodes, gateway and database are spread over"
  type        = number
  default     = 3
}

variable "domain" {
  description = "zone that people's names are in, such as vision.example.com"
  type        = string
}

variable "kubernetes_version" {
  description = "of the cluster; Knative 1.21 needs 1.33 or newer"
  type        = string
  default     = "1.34"
}

variable "administrators_cidrs" {
  description = "networks that may ask the API server from outside; none: only from within"
  type        = list(string)
  default     = []
}

variable "pools" {
  description = "nodes by kind, the value of label vision-node: bfloat16, memory, gpu; architecture is amd64 or arm64"
  type = map(object({
    machine_types = list(string)
    architecture  = optional(string, "amd64")
    spot          = optional(bool, false)
    minimum       = optional(number, 0)
    maximum       = number
  }))
}

variable "locked_days" {
  description = "for which no version of a published revision or a backup can be deleted, by anybody"
  type        = number
  default     = 30
}

variable "database_gigabytes" {
  description = "of the accounts' database"
  type        = number
  default     = 20
}

variable "protected" {
  description = "whether database and buckets refuse to be destroyed with what is in them"
  type        = bool
  default     = true
}
