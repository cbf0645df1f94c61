"""What every task can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from numpy.typing import NDArray

from artifact import Contract, TaskMetrics
from artifact.fields import Fields


class Question(NamedTuple):
    """One request to a model's predict URL.

    Attributes:
        query: of the URL, without the question mark.
    """

    body: bytes
    media_type: str
    accept: str = "*/*"
    query: str = ""


class Shown(NamedTuple):
    """An answer as a client shows it: lines of text, or a file with its suffix (``.png``)."""

    text: str = ""
    file: bytes = b""
    suffix: str = ""


class Task(ABC):
    """One kind of question to a picture.

    An *answer* is whatever ``read_answer`` returns: only the task itself looks inside. A *label* is
    one right answer as a labelled set holds it, an element along the first axis of ``labels``.

    Attributes:
        name: as contracts spell it.
        outputs: names of the v2 outputs of a served model of this task.
        max_instances_per_pass: of a network's forward pass.
        tolerance: difference of two scores up to which both count as equally right.
    """

    name: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    max_instances_per_pass: ClassVar[int] = 1
    tolerance: ClassVar[float] = 0.0

    # Cards.

    @abstractmethod
    def read_contract(self, fields: Fields) -> Contract:
        """The contract of a card, whose field ``task`` has been read.

        Raises:
            CardError: naming the field at fault.
        """

    @abstractmethod
    def read_metrics(self, fields: Fields) -> TaskMetrics:
        """The results in a card; raises as ``read_contract`` does."""

    @abstractmethod
    def probe(self, contract: Contract) -> NDArray[Any]:
        """The smallest batch ``(1, channels, height, width)`` that every revision answers."""

    # Asking and judging.

    @abstractmethod
    def question(self, picture: bytes) -> Question:
        """A request with one encoded picture, whose answer ``read_answer`` takes."""

    @abstractmethod
    def read_answer(self, contract: Contract, body: bytes) -> Any:
        """The body of a 200 to ``question``.

        Raises:
            AnswerError: it is no such answer.
        """

    def read_answer_as(self, home: Contract, contract: Contract, body: bytes) -> Any:
        """The answer of a revision of another contract, in the labels of ``home``.

        Answers name their labels, so most tasks read them as they are.

        Args:
            home: the contract that labelled sets are of, and that ``score`` and ``same`` get.
            contract: of the revision that answered.

        Raises:
            AnswerError: it is no answer of ``contract``, or none that ``home`` has a place for.
        """
        return self.read_answer(home, body)

    @abstractmethod
    def check_labels(self, contract: Contract, images: NDArray[Any], labels: NDArray[Any]) -> None:
        """See that labels are of this task: one per image, and within the contract.

        Args:
            images: ``(n, h, w)`` or ``(n, h, w, 3)`` bytes.

        Raises:
            LabelsError: they are not.
        """

    @abstractmethod
    def score(self, contract: Contract, answer: Any, label: Any) -> float:
        """How right an answer is: 0 for wrong, 1 for right.

        Raises:
            AnswerError: it is none to the picture that has this label.
        """

    @abstractmethod
    def same(self, contract: Contract, one: Any, other: Any) -> bool:
        """Whether two answers to one picture say the same."""

    @abstractmethod
    def score_text(self, total: float, count: int) -> str:
        """The sum of ``count`` scores, for people: ``470 of 500 right``."""

    def measures(
        self, contract: Contract, answers: Sequence[Any], labels: NDArray[Any]
    ) -> dict[str, float]:
        """What the field measures over a whole set, by name, beside the mean of the scores."""
        return {}

    # Showing.

    @abstractmethod
    def shown_question(self, picture: bytes, limit: int) -> Question:
        """A request whose answer ``show`` takes, with at most ``limit`` entries of a list."""

    @abstractmethod
    def show(self, body: bytes) -> Shown:
        """The body of a 200 to ``shown_question``, as a client shows it.

        Raises:
            AnswerError: it is no such answer.
        """

    @abstractmethod
    def sample(self, contract: Contract, names: Sequence[str]) -> str:
        """The file among ``names`` to try a model of this contract with.

        Raises:
            LookupError: none of them is a picture for this task.
        """

    @abstractmethod
    def curl(self, url: str, picture: str, name: str, options: str = "") -> str:
        """A command to paste into a shell, with the picture's path.

        Args:
            url: of the model's predict route.
            name: of the model, for the file that an answer is written to.
            options: more of curl's own, such as ``-H 'Host: …'``.
        """
