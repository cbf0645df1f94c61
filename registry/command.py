"""What commands on the registry have in common: who asks, what is printed, and how they end."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

from common.settings import SettingError, read_settings
from registry.connect import connect
from registry.errors import RegistryError
from registry.revisions import Registry
from registry.settings import RegistrySettings

WRONG_ARGUMENTS = 2

Shown = tuple[Any, str] | tuple[Any, str, int]
"""What a command found: for ``--json``, for people (nothing is printed where it is empty), and the
exit status where it is not 0."""

Command = Callable[[Registry, argparse.Namespace], Shown]


def run(
    command: Command,
    options: argparse.Namespace,
    environment: Mapping[str, str] | None = None,
    settings_class: type[RegistrySettings] = RegistrySettings,
    errors: tuple[type[Exception], ...] = (),
    room: str = "",
) -> int:
    """Do it, print what it found or what is wrong, and say how it ended.

    Args:
        options: with ``command`` (its name), ``by`` and ``json``; gets ``settings``.
        environment: this process's where it is None.
        errors: whose message is shown, beside the registry's; those with a ``status`` end with it,
            others with 1.
        room: said before the command's name where something is wrong.
    """
    name = f"{room} {options.command}".strip()
    shown_errors: tuple[type[Exception], ...] = (RegistryError, *errors)
    try:
        options.settings = read_settings(
            settings_class, os.environ if environment is None else environment
        )
        by = options.by or f"{getpass.getuser()}@{socket.gethostname()}"
        document, text, *ended = command(connect(options.settings, by), options)
    except SettingError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return WRONG_ARGUMENTS
    except shown_errors as error:
        print(f"{name}: {error}", file=sys.stderr)
        return int(getattr(error, "status", 1))
    shown = json.dumps(document, indent=2, ensure_ascii=False) if options.json else text
    if shown:
        print(shown)
    return ended[0] if ended else 0
