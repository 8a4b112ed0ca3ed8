"""Three questions near the end of a lecture: one click, one answer, and why. Nobody is graded.

They stand in ``data/self_tests/NN_slug.json``, so that a notebook's cell does not give them away:

    [{"question": "How many bits does a fair coin cost?",
      "options": [
        {"text": "one", "right": true, "why": "Two equally likely outcomes: log2(2) is one bit."},
        {"text": "two", "why": "There are two outcomes, but one bit tells them apart."}]}, …]
"""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

import anywidget
import ipywidgets

from course_lib.errors import InputError
from course_lib.outputs import IS_SELF_TEST

NUM_QUESTIONS = 3
_OPTIONS = range(2, 6)  # so many options a question may have
_STATIC = Path(__file__).parent / "static"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Option:
    """One of the answers that a question offers, and one sentence that says why it is right or not.

    Raises:
        InputError: a field is not what it should be.
    """

    text: str  # plain, as it stands on a button
    why: str  # may have $formulas$ and `code`
    right: bool = False

    def __post_init__(self):
        _check_text("text", self.text)
        _check_text("why", self.why, f" for the option {self.text!r}")
        if "$" in self.text:
            raise InputError(
                f"got the option {self.text!r}; expected no $, since a button shows no formulas. "
                "Write it in plain characters: x², λ, √2."
            )
        if not isinstance(self.right, bool):
            raise InputError(f'got "right": {self.right!r}; expected true or false.')

    @property
    def verdict(self) -> str:
        return "✓ Right." if self.right else "✗ No."


@dataclass(frozen=True)
class Question:
    """A question and its options, of which one is right.

    Raises:
        InputError: a field is not what it should be.
    """

    question: str  # may have $formulas$ and `code`
    options: tuple[Option, ...]

    def __post_init__(self):
        _check_text("question", self.question)
        if len(self.options) not in _OPTIONS:
            raise InputError(
                f"got {len(self.options)} options; expected {_OPTIONS[0]} to {_OPTIONS[-1]}."
            )
        texts = [option.text for option in self.options]
        if twice := {text for text in texts if texts.count(text) > 1}:
            raise InputError(f"got the option {min(twice)!r} twice; expected different ones.")
        right = sum(option.right for option in self.options)
        if right != 1:
            raise InputError(
                f'got {right} options with "right": true; expected exactly one. Mark the right one.'
            )


def read_questions(path: Path) -> list[Question]:
    """The questions of a file.

    Raises:
        InputError: there is no such file, or it is not as this module's docstring has it; the
            message says in which question.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no self-test {path}. Write its {NUM_QUESTIONS} questions into that file: "
            "docs/authoring_lectures.md says how."
        ) from None
    except (OSError, ValueError) as error:  # JSON and UTF-8 both raise ValueErrors
        raise InputError(f"Cannot read the self-test {path} as JSON: {error}.") from None
    if not isinstance(rows, list) or len(rows) != NUM_QUESTIONS:
        found = f"{len(rows)} entries" if isinstance(rows, list) else type(rows).__name__
        raise InputError(f"{path}: got {found}; expected a list of {NUM_QUESTIONS} questions.")
    questions = []
    for number, row in enumerate(rows, start=1):
        try:
            questions.append(_question(row))
        except InputError as error:
            raise InputError(f"{path}, question {number}: {error}") from None
    places = {tuple(option.right for option in question.options) for question in questions}
    if len(places) == 1:
        raise InputError(
            f"{path}: the right option stands at the same place in every question. Move some."
        )
    return questions


class SelfTest(ipywidgets.VBox):
    """Questions with a button for each option; a click says at once whether it is right, and why.

    Buttons are reached by the Tab key and pressed by Enter or Space. A page without a kernel has
    every option behind a fold, with the same words in it.
    """

    def __init__(self, questions: list[Question]):
        self.questions = tuple(questions)
        parts = [
            part
            for number, question in enumerate(self.questions, start=1)
            for part in _ask(number, question)
        ]
        super().__init__([*parts, Keys()])
        self.add_class("course-self-test")

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        words = "\n".join(question.question for question in self.questions)
        return {**data, "text/plain": words, "text/html": to_html(self.questions)}, metadata | {
            IS_SELF_TEST: True
        }


class Keys(anywidget.AnyWidget):
    """What the page adds to a self-test: keys reach its buttons, answers are read out, text wraps.

    JupyterLab would take Enter for "edit this cell" while a button has the focus.
    """

    _esm = _STATIC / "self_test.js"
    _css = _STATIC / "self_test.css"


def to_html(questions: tuple[Question, ...]) -> str:
    """The questions for a page without a kernel: each option unfolds its answer."""
    parts = []
    for number, question in enumerate(questions, start=1):
        parts.append(f"<p><strong>{number}.</strong> {_marked_up(question.question)}</p>")
        parts += [
            f'<details style="margin-left: 1.5em"><summary>{_marked_up(option.text)}</summary>'
            f"<p>{_answer(option)}</p></details>"
            for option in question.options
        ]
    return "\n".join(parts)


def _ask(number: int, question: Question) -> list[ipywidgets.Widget]:
    """A question, a button for each of its options, and room for the answer."""
    asked = ipywidgets.HTMLMath(f"<strong>{number}.</strong> {_marked_up(question.question)}")
    answer = ipywidgets.HTMLMath()
    answer.add_class("course-answer")

    def button(option: Option) -> ipywidgets.Button:
        label = _CODE.sub(r"\1", option.text)
        button = ipywidgets.Button(description=label)

        def say(_) -> None:
            button.description = f"{option.verdict[0]} {label}"
            button.button_style = "success" if option.right else "warning"
            answer.value = f"<strong>{html.escape(label)}</strong> · {_answer(option)}"

        button.on_click(say)
        return button

    return [asked, *map(button, question.options), answer]


def _answer(option: Option) -> str:
    return f"<strong>{option.verdict}</strong> {_marked_up(option.why)}"


def _marked_up(text: str) -> str:
    """HTML of a text with `code`; formulas between dollars are the page's business."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))


def _question(row: object) -> Question:
    _check_keys(row, {"question", "options"}, set(), "a question")
    if not isinstance(row["options"], list):
        raise InputError(f'got "options": {row["options"]!r}; expected a list.')
    for option in row["options"]:
        _check_keys(option, {"text", "why"}, {"right"}, "an option")
    return Question(row["question"], tuple(Option(**option) for option in row["options"]))


def _check_keys(row: object, needed: set[str], allowed: set[str], what: str) -> None:
    if not isinstance(row, dict):
        raise InputError(f"got {row!r} for {what}; expected an object in braces.")
    if missing := needed - set(row):
        raise InputError(f"{what} lacks {', '.join(sorted(missing))}: {row!r}. Add it.")
    if unknown := set(row) - needed - allowed:
        expected = ", ".join(sorted(needed | allowed))
        raise InputError(f"{what} has {', '.join(sorted(unknown))}; expected only {expected}.")


def _check_text(field: str, text: object, where: str = "") -> None:
    if not isinstance(text, str) or not text.strip():
        raise InputError(f'got "{field}": {text!r}{where}; expected some words.')
