"""What the two servers share: KServe's model server with its edges closed."""
