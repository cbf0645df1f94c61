# The zone that people's names are in. Records are external-dns's or yours: the edge's address is known
# once its Service is.

variable "domain" { type = string }
variable "protected" { type = bool }

resource "aws_route53_zone" "this" {
  name          = var.domain
  force_destroy = !var.protected
}

# Who may issue certificates for it.
resource "aws_route53_record" "authorities" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.domain
  type    = "CAA"
  ttl     = 3600
  records = ["0 issue \"letsencrypt.org\"", "0 issuewild \"letsencrypt.org\""]
}

output "zone_arn" { value = aws_route53_zone.this.arn }
output "name_servers" { value = aws_route53_zone.this.name_servers }
