"""Published architectures answering JPEG photographs, beside peers and beside no server at all."""
