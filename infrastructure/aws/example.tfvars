# tofu plan -var-file=example.tfvars
name                 = "vision"
region               = "eu-central-1"
domain               = "vision.example.com"
administrators_cidrs = ["192.0.2.0/24"]

pools = {
  # Sapphire Rapids: AMX multiplies bfloat16.
  bfloat16 = { machine_types = ["m7i.xlarge", "m7i.2xlarge"], minimum = 1, maximum = 20 }
  # Large rasters, many models in one predictor.
  memory = { machine_types = ["r7i.xlarge", "r7i.2xlarge"], maximum = 6, spot = true }
  gpu    = { machine_types = ["g6.xlarge"], maximum = 4 }
}
