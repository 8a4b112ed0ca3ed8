"""What an exercise asks: questions, and the wrong answers that students are known to give.

The specs of an exercise stand in ``solutions/questions/NN_name.py`` as a tuple ``QUESTIONS``; the
right answers stand in the cells of ``solutions/NN_name.ipynb``. See docs/authoring_exercises.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from course_lib.errors import CourseError
from course_lib.grading.asking.digests import digest

Kind = Literal["function", "gradient", "module", "value", "choice", "written"]
Draw = Callable[[np.random.Generator], dict[str, Any]]

PUBLIC_SEED = "public"  # of the fixtures that students have
MIN_MISTAKES = 2
MAX_HINTS = 3
_KINDS = get_args(Kind)
_CALLED = ("function", "gradient", "module")  # kinds that are called with inputs
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class AuthoringError(CourseError, ValueError):
    """Mistakes of the exercise's author."""

    is_list = True


@dataclass(frozen=True)
class KnownMistake:
    """A wrong answer that students give, and what they need to hear."""

    name: str
    answer: Any  # wrong implementation, value or choice
    hint: str


@dataclass(frozen=True)
class Equivalent:
    """Changes of the right answer that leave it right, as `course questions --mutants` lists them.

    Each is a statement before and after: ``"return x.sum() → return x.sum().float()"``.
    """

    why: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """One question of an exercise.

    Whatever is called is called twice, must give the same again, and leave its inputs alone.

    Kinds:
        function: is called with the inputs, its result is compared.
        gradient: likewise, and so are the gradients of Σ wᵢ·outputᵢ, with weights w from 0.5 to
            1.5, with respect to the inputs in ``gradient_of``.
        module: a ``torch.nn.Module`` class; it is built with ``config``, given ``weights`` (its
            state dict), put in evaluation mode and called with the other inputs; then in training
            mode, and the gradients are compared, of its weights and of inputs in ``gradient_of``.
        value: a number, right when it rounds to the expected one at ``decimals`` decimals.
        choice: one of ``options``, or a set of several.
        written: a text, marked by hand.

    Review refuses a function of tensors whose gradient is not compared, and cases whose sizes are
    the same in every draw, unless ``untrained`` or ``fixed_sizes`` says why that is enough.
    """

    id: str
    title: str
    points: int
    kind: Kind
    mistakes: tuple[KnownMistake, ...] = ()
    inputs: tuple[Draw, ...] = ()  # each draws one case: names and values, in the order of a call
    gradient_of: tuple[str, ...] = ()
    rtol: float = 1e-4
    atol: float = 1e-5
    decimals: int = 0
    options: str = ""  # "abcd"
    hints: tuple[str, ...] = ()  # for `hint`, in order: where to look, how, almost there
    untrained: str = ""  # why no gradient goes through the answer
    fixed_sizes: str = ""  # why all sizes are known beforehand
    equivalents: tuple[Equivalent, ...] = ()

    def __post_init__(self):
        names = [mistake.name for mistake in self.mistakes]
        fewest = 0 if self.kind == "written" else MIN_MISTAKES
        rules = {
            "expected an id of a-z, 0-9 and single hyphens": _ID.fullmatch(self.id),
            "expected a title": self.title.strip(),
            f"got kind {self.kind!r}, expected one of {_KINDS}": self.kind in _KINDS,
            f"got {self.points} points, expected at least 1": self.points > 0,
            "a function, gradient or module needs inputs, and nothing else has them": (
                bool(self.inputs) == self.is_called
            ),
            "gradient_of goes with kind gradient, or with a module": (
                bool(self.gradient_of) == (self.kind == "gradient") or self.kind == "module"
            ),
            "untrained goes with kind function": not self.untrained or self.kind == "function",
            "options go with kind choice": bool(self.options) == (self.kind == "choice"),
            f"got {len(names)} known mistakes, expected at least {fewest}": len(names) >= fewest,
            "two known mistakes have one name": len(set(names)) == len(names),
            f"got {len(self.hints)} hints, expected at most {MAX_HINTS}": (
                len(self.hints) <= MAX_HINTS
            ),
            "hints are texts, in a tuple": (
                isinstance(self.hints, tuple)
                and all(isinstance(hint, str) and hint.strip() for hint in self.hints)
            ),
            "a known mistake has no hint": all(mistake.hint.strip() for mistake in self.mistakes),
            "an equivalent has no reason": all(one.why.strip() for one in self.equivalents),
        }
        for problem, holds in rules.items():
            if not holds:
                raise AuthoringError(f"Question {self.id!r}: {problem}.")

    @property
    def is_called(self) -> bool:
        """Whether the answer is code that is run on inputs."""
        return self.kind in _CALLED


def load_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a spec file, which is run.

    Raises:
        AuthoringError: missing, broken, or without a tuple ``QUESTIONS``.
    """
    if not path.is_file():
        raise AuthoringError(f"{path} is missing. Write it: docs/authoring_exercises.md says how.")
    namespace = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(path.read_bytes(), path, "exec"), namespace)
    except CourseError:
        raise
    except Exception as error:
        raise AuthoringError(f"{path} raises {type(error).__name__}: {error}") from error
    found = namespace.get("QUESTIONS")
    if not isinstance(found, tuple) or not all(isinstance(item, Question) for item in found):
        raise AuthoringError(f"{path} has no tuple QUESTIONS of Question(…).")
    return found


def draw_inputs(question: Question, seed: str) -> list[dict[str, Any]]:
    """The inputs of all cases. The same seed gives the same inputs; another gives others.

    Raises:
        AuthoringError: a draw raises.
    """
    cases = []
    for index, draw in enumerate(question.inputs):
        number = int(digest(f"{seed}/{question.id}/{index}".encode())[:32], 16)
        try:
            cases.append(draw(np.random.default_rng(number)))
        except Exception as error:
            raise AuthoringError(
                f"{question.id}: the inputs of its case {index + 1} cannot be drawn: "
                f"{type(error).__name__}: {error}"
            ) from error
    return cases
