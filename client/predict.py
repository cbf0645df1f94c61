"""``make predict IMAGE=path MODEL=name``: one picture's answer, as its task shows it.

An answer that is a picture itself is written to ``<image>-<model>.png`` in the working directory.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from client.http import PredictClient, PredictError
from tasks import TaskError, task_of_outputs


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision predict", description=__doc__)
    parser.add_argument("image", help="PNG, JPEG, WebP, BMP or TIFF")
    parser.add_argument("--model", default="mnist")
    parser.add_argument("--port", type=int, default=8080, help="of a service on this machine")
    parser.add_argument("--url", help="of a service elsewhere")
    parser.add_argument("--top-k", type=int, default=5, help="entries of an answer that is a list")
    options = parser.parse_args(arguments)
    if not options.image:
        print("predict: which image? IMAGE=path", file=sys.stderr)
        return 1
    image = Path(options.image)
    try:
        data = image.read_bytes()
    except OSError as error:
        print(f"predict: {image}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        with PredictClient(options.url or f"http://localhost:{options.port}") as client:
            print(answer(client, options.model, image, data, options.top_k))
    except (PredictError, TaskError) as error:
        unreachable = isinstance(error, PredictError) and not error.status
        hint = " (is `make run` running in another shell?)" if unreachable else ""
        print(f"predict: {error}{hint}", file=sys.stderr)
        return 1
    return 0


def answer(client: PredictClient, model: str, image: Path, data: bytes, limit: int) -> str:
    """Ask, and give what to print: the revision that answered, and what it said.

    Raises:
        PredictError: no connection, or a refusal.
        TaskError: the answer cannot be shown.
    """
    task = task_of_outputs(client.outputs(model))
    reply = client.ask(model, task.shown_question(data, limit))
    shown = task.show(reply.body)
    lines = [f"{model}, revision {reply.revision}", *(f"  {s}" for s in shown.text.splitlines())]
    if shown.file:
        path = Path(f"{image.stem}-{model}{shown.suffix}")
        path.write_bytes(shown.file)
        lines.append(f"  wrote {path}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
