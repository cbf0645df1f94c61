# MariaDB for the accounts: by TLS alone, encrypted, a copy in another zone, dumps of two weeks.

variable "name" { type = string }
variable "gigabytes" { type = number }
variable "network_id" { type = string }
variable "subnet_group" { type = string }
variable "callers" { type = string }
variable "several" { type = bool }
variable "protected" { type = bool }

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-database-"
  description = "from the cluster's nodes alone"
  vpc_id      = var.network_id
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.callers
  ip_protocol                  = "tcp"
  from_port                    = 3306
  to_port                      = 3306
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "mariadb11.8"

  parameter {
    name  = "require_secure_transport"
    value = "1"
  }
  parameter {
    name  = "character_set_server"
    value = "utf8mb4"
  }
  parameter {
    name  = "collation_server"
    value = "utf8mb4_bin"
  }
  # Bills depend on it.
  parameter {
    name  = "innodb_flush_log_at_trx_commit"
    value = "1"
  }
}

resource "aws_db_instance" "this" {
  identifier     = "${var.name}-accounts"
  db_name        = "accounts"
  engine         = "mariadb"
  engine_version = "11.8"
  instance_class = "db.t4g.medium"

  allocated_storage     = var.gigabytes
  max_allocated_storage = 10 * var.gigabytes
  storage_type          = "gp3"
  storage_encrypted     = true

  multi_az               = var.several
  db_subnet_group_name   = var.subnet_group
  vpc_security_group_ids = [aws_security_group.this.id]
  parameter_group_name   = aws_db_parameter_group.this.name

  username                    = "accounts"
  manage_master_user_password = true

  backup_retention_period   = 14
  copy_tags_to_snapshot     = true
  deletion_protection       = var.protected
  skip_final_snapshot       = !var.protected
  final_snapshot_identifier = "${var.name}-accounts-last"
}

output "host" { value = aws_db_instance.this.address }
output "secret" { value = aws_db_instance.this.master_user_secret[0].secret_arn }
