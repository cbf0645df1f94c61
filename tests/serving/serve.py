"""A server with a trivial model, for tests: ``python -m tests.serving.serve …``."""

from __future__ import annotations

import os

from common.settings import read_settings
from serving.arguments import read_arguments, server_arguments
from serving.server import VisionServer, configure_logs
from serving.settings import ServerSettings
from tests.serving.fake import SumModel

if __name__ == "__main__":
    options = read_arguments(server_arguments("serve", "adds numbers"))
    settings = read_settings(ServerSettings, os.environ)
    configure_logs(settings, options)
    VisionServer(settings, options).start([SumModel()])
