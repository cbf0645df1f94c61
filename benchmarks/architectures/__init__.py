"""Every architecture of torchvision and 40 families of timm, imported, served and compared."""
