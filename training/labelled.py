"""``make evaluate`` of any model with a labelled set of one's own, over HTTP."""

from __future__ import annotations

from tqdm import tqdm

from artifact import Contract
from client.http import PredictClient, PredictError
from rollout.labelled import load_labelled
from tasks import find_task

SUFFIX = ".npz"


def is_labelled_set(data: str | None) -> bool:
    """Whether the data are a file of pictures and labels, as rollouts take them."""
    return data is not None and data.endswith(SUFFIX)


def evaluate(
    client: PredictClient, contract: Contract, model: str, wanted: str, source: str
) -> int:
    """Ask for every picture, and print what the task measures.

    Args:
        wanted: the revision that must answer; empty for any.
        source: file or address of the set.

    Returns:
        0: there is nothing that it must be equal to.

    Raises:
        PredictError: the service cannot be reached, or another revision answered.
        NotFoundError: there is no such set.
        TaskError: an answer is none of the task.
    """
    task = find_task(contract.task)
    labelled = load_labelled(source, model)
    answers = []
    seen = wanted
    for index in tqdm(range(len(labelled)), unit="image", desc=model):
        reply = client.ask(model, task.question(labelled.picture(index)))
        if seen and reply.revision != seen:
            raise PredictError(f"revision {reply.revision} answered, not {seen}")
        seen = reply.revision
        answers.append(task.read_answer(contract, reply.body))
    print(f"{model}/{seen}: {len(answers)} pictures over HTTP")
    measured = task.measures(contract, answers, labelled.labels)
    for name, value in measured.items():
        print(f"  {name}: {value:.4f}")
    if not measured:
        pairs = zip(answers, labelled.labels, strict=True)
        total = sum(task.score(contract, answer, label) for answer, label in pairs)
        print(f"  {task.score_text(total, len(answers))}")
    return 0
