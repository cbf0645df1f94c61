"""What the two servers share: KServe's model server with its edges closed."""

from serving.kserve_imports import install

install()
