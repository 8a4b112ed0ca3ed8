"""What grading a submission gives: a verdict on each question, as plain data that JSON keeps."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args
from urllib.parse import quote

Verdict = Literal[
    "PASS",
    "FAIL",  # wrong, or not answered
    "TIMEOUT",  # took too long
    "CRASH",  # its process died
    "LIMIT",  # too much memory, too many processes, too large a result
    "UNREADABLE",  # no notebook that can be graded
    "INFRA_ERROR",  # the grader's own failure: never a zero, to be graded again
    "BY_HAND",  # a written answer, marked by a person
]
VERDICTS = get_args(Verdict)


@dataclass(frozen=True)
class QuestionResult:
    """The verdict on one question, and what its author should hear.

    Nothing in it tells the hidden cases, which are drawn from a secret: of these there are but
    verdicts. ``message``, ``called_with``, ``shown`` and ``hint`` come from public cases.
    """

    question: str
    title: str
    points: int  # that can be had
    verdict: Verdict
    earned: int = 0
    message: str = ""  # what differs, or what ended the answer
    called_with: str = ""
    shown: str = ""  # inputs and results as text, or where the answer raised, and why; lines
    hint: str = ""
    mistake: str = ""  # the name of the known mistake that it is
    public_cases: tuple[bool, ...] = ()  # passed or not, one for each
    hidden_cases: tuple[bool, ...] = ()
    answer: str = ""  # the text of a written answer


@dataclass(frozen=True)
class Graded:
    """The verdicts on one submission to one exercise."""

    exercise: str  # "01_autoencoders"
    title: str
    sha256: str  # of the submitted file
    questions: tuple[QuestionResult, ...]
    notes: tuple[str, ...] = ()  # what was odd about the notebook, and how it was taken
    cell_errors: tuple[str, ...] = ()  # cells that raised or were ended, in words
    has_hidden_cases: bool = True  # False: feedback from public fixtures alone, no marks
    is_sandboxed: bool = True  # False: run with --unsafe, so that verdicts can be forged
    seconds: float = 0  # of grading

    @property
    def earned(self) -> int:
        return sum(result.earned for result in self.questions)

    @property
    def points(self) -> int:
        """All points that the grader can give; those of written answers are given by hand."""
        return sum(result.points for result in self.automatic)

    @property
    def automatic(self) -> tuple[QuestionResult, ...]:
        return tuple(result for result in self.questions if result.verdict != "BY_HAND")

    @property
    def is_final(self) -> bool:
        """Whether no question is left without a verdict by a failure of the grader."""
        return all(result.verdict != "INFRA_ERROR" for result in self.questions)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, parsed: dict[str, Any]) -> "Graded":
        """The inverse of `to_json`, also after a trip through text.

        Raises:
            TypeError, KeyError: it is something else.
        """
        questions = tuple(QuestionResult(**_tuples(item)) for item in parsed["questions"])
        return cls(**(_tuples(parsed) | {"questions": questions}))


@dataclass(frozen=True)
class Student:
    """Whose submission it is, as far as the file's place and name tell."""

    name: str  # of the folder or file, or as the platform writes it
    canvas_id: str = ""
    moodle_id: str = ""  # the participant's number
    blackboard_id: str = ""  # the login
    brightspace_id: str = ""

    @property
    def number(self) -> str:
        """What the platform knows the student by; empty where there is no platform."""
        return self.canvas_id or self.moodle_id or self.blackboard_id or self.brightspace_id

    @property
    def identity(self) -> str:
        """Who it is, whatever the tables call them: the platform's number, else the place."""
        for platform in ("canvas", "moodle", "blackboard", "brightspace"):
            if number := getattr(self, f"{platform}_id"):
                return f"{platform}:{quote(number, safe=' ')}"
        return f"place:{quote(self.name, safe=' ', errors='surrogatepass')}"


@dataclass(frozen=True)
class Entry:
    """One line of a class: a student's submission and its verdicts."""

    student: Student
    file: str  # "class.zip/ada/01_autoencoders.ipynb", as people would say it
    graded: Graded
    notes: tuple[str, ...] = ()  # on the file: several were handed in, say


def exercises_of(entries: Iterable[Entry]) -> list[str]:
    """The names of the exercises that were handed in, in order; files of none are left out."""
    return sorted({entry.graded.exercise for entry in entries} - {""})


def _tuples(parsed: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in parsed.items()}
