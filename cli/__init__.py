"""The command ``vision``."""
