"""What a student reads: values to recompute with, errors in words, hints on demand, an end."""

import _thread
import io
import itertools
import json
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import sample_exercise
import torch
from test_grading_answers import fixture_of
from torch import nn

from course_lib.cli import main
from course_lib.grading import UnknownQuestion, WrongAnswer, check, hint
from course_lib.grading.asking import hints, stopwatch
from course_lib.grading.asking.explanations import explain
from course_lib.grading.asking.fixtures import read_exercise
from course_lib.grading.asking.judgement import judge_answer
from course_lib.grading.asking.printing import MAX_PRINTED, SparingStream
from course_lib.grading.asking.showing import MAX_LINES, literal, show_case
from course_lib.grading.asking.stopwatch import TookTooLong, time_limit
from course_lib.grading.asking.values import freeze
from course_lib.grading.authoring.questions import AuthoringError, Question
from course_lib.grading.authoring.release import release

check_module = sys.modules["course_lib.grading.asking.check"]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    repository = tmp_path_factory.mktemp("sample")
    sample_exercise.write_sample(repository)
    release(repository)
    return repository / "exercises"


@pytest.fixture
def exercises(released, tmp_path, monkeypatch):
    folder = tmp_path / "course" / "exercises"
    shutil.copytree(released, folder)
    monkeypatch.setenv("COURSE_EXERCISES", str(folder))
    monkeypatch.setattr(hints, "_taken", {})
    return folder


# ----------------------------------------------------------------------- values


def test_the_smallest_wrong_case_is_told_with_its_inputs_and_results():
    sizes = (6, 2, 3)
    fixture = fixture_of("function", lambda x: x + 1, [{"x": np.arange(float(n))} for n in sizes])
    judgement, _ = judge_answer(fixture, lambda x: x)
    assert judgement.called_with == "x: float64 array (2,)"
    assert judgement.shown.splitlines() == [
        "x = [0.0, 1.0]",
        "got = [0.0, 1.0]",
        "expected = [1.0, 2.0]",
    ]
    assert judgement.cases == (False, False, False)


def test_a_case_that_is_right_is_not_told_though_it_is_smaller():
    fixture = fixture_of("function", abs, [{"x": 2.0}, {"x": np.array([-1.0, 2.0])}])
    assert judge_answer(fixture, lambda x: x)[0].called_with == "x: float64 array (2,)"


def test_of_large_values_the_piece_around_the_largest_difference_is_shown():
    x = np.arange(60.0).reshape(4, 3, 5)
    lines = show_case({"got": x, "expected": x + 1}, {"x": x, "w": np.ones(2)}, (2, 1, 0))
    assert lines[
        0
    ] == "x[2] = [[30.0, 31.0, 32.0, 33.0, 34.0], [35.0, 36.0, 37.0, 38.0, 39.0], " + (
        "[40.0, 41.0, 42.0, 43.0,"
    )
    assert "w = [1.0, 1.0]" in lines
    assert [line.split(" = ")[0] for line in lines if " = " in line] == [
        *("x[2]", "w", "got[2]", "expected[2]"),
    ]


def test_messages_never_grow_beyond_a_dozen_lines():
    rng = np.random.default_rng(0)
    for shape in itertools.product((1, 2, 5, 40), repeat=3):
        x = rng.normal(size=shape)
        lines = show_case({"got": x, "expected": -x}, {"x": x, "y": x.ravel()}, (0, 0, 0))
        assert len(lines) <= MAX_LINES and max(map(len, lines), default=0) <= 100


def test_literals_are_python():
    for value in (1.5, 2, True, [1.5, 2.0], (1,), {"a": [1.0]}, "text", None):
        assert eval(literal(freeze(value))) == value
    assert literal(freeze(torch.tensor([[1.0, 0.5]]))) == "[[1.0, 0.5]]"
    assert literal(freeze(np.array([1, 2]))) == "[1, 2]"
    assert literal(np.zeros(1000)) is None


@pytest.mark.parametrize("got, expected", [(4, 2), (1, 2), ([2, 4], [1, 2]), ([0, 2], [0, 1])])
def test_indices_are_never_some_times_too_large(got, expected):
    fixture = fixture_of("function", lambda n: np.array(expected), [{"n": 1}])
    message = judge_answer(fixture, lambda n: np.array(got))[0].message
    assert "times" not in message and "largest" not in message and "got" in message


def test_the_part_of_several_results_that_is_wrong_is_shown():
    fixture = fixture_of("function", lambda x: (x, 2 * x), [{"x": np.arange(12.0)}])
    judgement, _ = judge_answer(fixture, lambda x: (x, 3 * x))
    assert judgement.message.startswith("in value 2: 11 of 12 values are wrong")
    assert (
        "got[1] = [0.0, 3.0," in judgement.shown and "expected[1] = [0.0, 2.0," in judgement.shown
    )


def test_a_wrong_gradient_is_shown_beside_the_right_one():
    fixture = fixture_of(
        "gradient", lambda x: (x * x).sum(), [{"x": torch.tensor([1.0, 3])}], ("x",)
    )
    judgement, _ = judge_answer(fixture, lambda x: (x * x.detach()).sum())
    assert "got_gradient_of_x = [1.0, 3.0]" in judgement.shown
    assert "expected_gradient_of_x = [2.0, 6.0]" in judgement.shown


# ----------------------------------------------------------------------- errors in words


def product(x, W):
    y = x @ W
    return y


def test_an_error_is_told_with_the_students_line_its_shapes_and_a_meaning():
    given = {"x": torch.ones(3, 4), "W": torch.ones(2, 4)}
    fixture = fixture_of("function", lambda x, W: x @ W.T, [given])
    judgement, error = judge_answer(fixture, product)
    assert isinstance(error, RuntimeError)
    number = product.__code__.co_firstlineno + 1
    assert judgement.shown.splitlines() == [
        f"In line {number}, `y = x @ W`, with x: float32 tensor (3, 4), W: float32 tensor (2, 4).",
        "In a matrix product the columns of the left must be as many as the rows of the right: "
        "here 4 and 2.",
    ]


def test_in_a_module_layers_are_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 2)

        def forward(self, x):
            return self.first(self.first(x))

    weights = {"first.weight": torch.ones(2, 3), "first.bias": torch.ones(2)}
    given = {"config": {}, "weights": weights, "x": torch.ones(1, 3)}
    right = type("Right", (Two,), {"forward": lambda self, x: self.first(x)})
    judgement, _ = judge_answer(fixture_of("module", right, [given]), Two)
    assert "self.first: Linear(in_features=3, out_features=2, bias=True)" in judgement.shown


class Untold:
    def __repr__(self):
        raise ZeroDivisionError

    def __getattr__(self, name):
        raise ZeroDivisionError


def test_objects_that_cannot_be_looked_at_do_no_harm():
    fixture = fixture_of("function", lambda x: x, [{"x": 1}])

    def answer(x):
        untold = Untold()
        return untold.value + x

    judgement, error = judge_answer(fixture, answer)
    assert isinstance(error, ZeroDivisionError) and not judgement.passed


def raised(code: str) -> str:
    """The text of the error that Python, NumPy or torch raises for a line, as of today."""
    try:
        exec(
            code, {"np": np, "torch": torch, "nn": nn, "x": torch.ones(3, 4), "a": np.ones((3, 4))}
        )
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{code} raises nothing")


@pytest.mark.parametrize(
    "code, words",
    [
        ("x[0, 9]", "Axis 1 has 4 entries, numbered from 0; there is no number 9."),
        ("a[7]", "Axis 0 has 3 entries"),
        ("[1][3]", "beyond the last entry"),
        ("x[0, 0, 0]", "more indices in the brackets than the array has axes"),
        ("a[0, 0, 0]", "more indices in the brackets than the array has axes"),
        ("x.sum(dim=2)", "There is no such axis"),
        ("a.sum(axis=2)", "There is no such axis"),
        ("x @ x", "here 4 and 3"),
        ("a @ a", "the last axis of the left must be as long as"),
        ("x + torch.ones(3)", "here axis 1 has 4 and 3"),
        ("a + np.ones(3)", "The shapes (3,4) and (3,) do not fit together"),
        ("x.reshape(5, 2)", "their count, 12 here"),
        ("a.reshape(5, 2)", "their count, 12 here"),
        ("x.permute(0)", "every axis of the array once"),
        ("b, c, d, e = a.shape", "more or fewer names"),
        ("b, c = 3", "on its right is one int"),
        ("x @ x.double().T", "different types of numbers"),
        ("torch.arange(3).mean()", "x.float() makes them floats"),
        ("b = np.ones(3, int); b += 0.5", "cannot put float64 into an array of int64"),
        ("float(x)", "several numbers stands where one"),
        ("float(a)", "several numbers stands where one"),
        ("x.item()", "several numbers stands where one"),
        ("1 if x > 0 else 0", "torch.where or np.where"),
        ("1 if a > 0 else 0", "torch.where or np.where"),
        ("torch.sigmoid(a)", "wants a tensor, and got a numpy.ndarray"),
        ("x.requires_grad_().numpy()", "use the function of torch"),
        ("x.requires_grad_(); x += 1", "Make a new one"),
        ("torch.ones(3).sum().backward()", "no tensor here has any"),
        ("(lambda x: x)(1, 2)", "more arguments than the line `def …` has names for"),
        ("(lambda x, y: x)(1)", "'y' got nothing"),
        ("sigmoid(x)", "Nothing is called sigmoid"),
        ("def f():\n  if a is None: b = 1\n  return b\nf()", "b is used before it gets a value"),
        (
            "type('M', (nn.Module,), {'__init__': lambda s: setattr(s, 'l', nn.Linear(1, 1))})()",
            "super",
        ),
        ("x.astype('float32')", "A tensor has no .astype"),
        ("a.log2()", "Look for np.log2(x)"),
        ('print(end="").sum()', "Something is None"),
        ("x + ...", "Three dots `...` are still there"),
        ("x(1)", "A Tensor is called like a function"),
        ("(3)[0]", "stands behind a int"),
        ("{}['y']", "has no entry 'y'"),
        ("1 / 0", "divided by zero"),
        ("import math; math.log(0)", "that has none"),
        ("f = lambda: f()\nf()", "calls itself again and again"),
        ("'a' + 1", "between a text or list and a number"),
        ("None + 1", "`+` stands between a NoneType and a int"),
    ],
)
def test_errors_as_python_numpy_and_torch_word_them_are_explained(code, words):
    assert words in explain(raised(code))


def test_unknown_errors_are_left_as_they_are():
    assert explain("MyError: whatever") == ""


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda x, factor: exit(), "it ends the program, by exit() or the like."),
        (lambda x, factor: lambda: x, "`( )` is missing behind its name"),
        (lambda x, factor: itertools.count(), "a count that goes on after 10000 values"),
    ],
)
def test_results_that_are_none_are_explained(answer, words, exercises):
    with pytest.raises(WrongAnswer) as caught:
        check("scale", answer)
    assert words in str(caught.value)


# ----------------------------------------------------------------------- answers without an end


def forever(x, factor):
    while True:
        pass


def forever_catching_exceptions(x, factor):
    while True:
        try:  # noqa: SIM105
            x = x * 1
        except Exception:
            pass


def forever_catching_all(x, factor):
    while True:
        try:  # noqa: SIM105
            time.sleep(1)
        except:  # noqa: E722
            pass


def forever_catching_all_twice(x, factor):
    while True:
        try:
            while True:
                try:  # noqa: SIM105
                    time.sleep(1)
                except:  # noqa: E722
                    pass
        except:  # noqa: E722
            pass


def forever_in_finally(x, factor):
    while True:
        try:
            sum(range(100))
        finally:
            continue  # noqa: B012


def forever_yielding(x, factor):
    yield x
    while True:
        factor += 1


def forever_printing(x, factor):
    while True:
        print("here")


ENDLESS = (
    forever,
    forever_catching_exceptions,
    forever_catching_all,
    forever_catching_all_twice,
    forever_in_finally,
    forever_yielding,
    forever_printing,
)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="alarms are those of POSIX")
@pytest.mark.parametrize("answer", ENDLESS)
def test_an_answer_without_an_end_is_stopped_and_told_where(answer, exercises, monkeypatch, capsys):
    monkeypatch.setattr(check_module, "ANSWER_SECONDS", 0.2)
    handler = signal.getsignal(signal.SIGALRM)
    is_set = signal.getitimer(signal.ITIMER_REAL)[0] > 0  # by whoever runs the tests
    with pytest.raises(WrongAnswer) as caught:
        check("scale", answer)
    headline, called, place, advice = str(caught.value).splitlines()
    assert headline == "✗ scale: it did not finish within 0.2 seconds, and was stopped."
    assert called.startswith("Called with x: float32 tensor (4, 3)")
    assert place.startswith("  In line ") and "a loop whose end is never reached" in advice
    assert signal.getsignal(signal.SIGALRM) is handler
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == is_set
    check("scale", lambda x, factor: x * factor)
    printed = capsys.readouterr().out
    assert printed.endswith("✓ scale: passed (2 points)\n") and len(printed) < MAX_PRINTED + 200


def test_without_alarms_a_thread_stops_it(exercises, monkeypatch):
    """As on Windows, where the thread stands in for the timer."""
    monkeypatch.delattr(signal, "setitimer", raising=False)
    monkeypatch.setattr(check_module, "ANSWER_SECONDS", 0.2)
    handler = signal.getsignal(signal.SIGINT)
    for answer in (forever, forever_catching_exceptions):
        with pytest.raises(WrongAnswer, match="did not finish within"):
            check("scale", answer)
    assert signal.getsignal(signal.SIGINT) is handler


def test_without_alarms_whoever_interrupts_still_interrupts(monkeypatch):
    monkeypatch.delattr(signal, "setitimer", raising=False)
    with pytest.raises(KeyboardInterrupt), time_limit(60):
        _thread.interrupt_main()
        while True:
            pass


def test_outside_the_main_thread_answers_run_without_a_limit(exercises, monkeypatch):
    monkeypatch.setattr(check_module, "ANSWER_SECONDS", 0.01)
    failures = []

    def slow(x, factor):
        time.sleep(0.05)
        return x * factor

    def run():
        try:
            check("scale", slow)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="alarms are those of POSIX")
def test_somebody_elses_alarm_goes_on():
    calls = []
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TookTooLong), time_limit(0.05):
            forever(1, 1)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.2
        signal.pause()
        assert calls == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="alarms are those of POSIX")
def test_time_that_a_debugger_waits_is_not_counted(monkeypatch):
    loop = {"__name__": "pdb", "time": time}
    exec("def wait(seconds):\n    time.sleep(seconds)\n    return 'continued'", loop)
    with time_limit(0.05):
        assert loop["wait"](0.2) == "continued"


def test_what_compiled_code_holds_up_is_told(monkeypatch):
    """A call that does not come back: here one that blocks the signal."""
    if not hasattr(signal, "pthread_sigmask"):
        pytest.skip("signals cannot be held up here")
    monkeypatch.setattr(stopwatch, "_STUCK", 0.05)
    told = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    try:
        with time_limit(0.05, told.set):
            assert told.wait(10)
    finally:
        with pytest.raises(TookTooLong), time_limit(0.01):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
            forever(1, 1)


def test_long_print_outs_are_cut_with_a_word():
    target = io.StringIO()
    stream = SparingStream(target)
    for _ in range(10_000):
        print("line", file=stream)
    assert len(target.getvalue()) < MAX_PRINTED + 100
    assert target.getvalue().endswith("is left out)\n")


def test_what_an_answer_prints_is_seen(exercises, capsys):
    def talking(x, factor):
        print("shape", tuple(x.shape))
        return x * factor

    check("scale", talking)
    assert "shape (4, 3)" in capsys.readouterr().out


# ----------------------------------------------------------------------- hints on demand


def test_hints_come_one_by_one_and_are_counted(exercises, capsys):
    for number, text in enumerate(("Look at the units.", "One operation does it."), 1):
        assert hint("scale") is None
        assert capsys.readouterr().out.splitlines() == [
            f"Hint {number} of 3 on scale: {text}",
            'For the next one, run hint("scale") again.',
        ]
    for _ in range(2):
        hint("scale")
        assert capsys.readouterr().out == "Hint 3 of 3 on scale: It is a product: x * …\n"
    note = json.loads((exercises / ".progress.json").read_text())
    assert note == {"hints taken": {"scale": 3}}
    assert main(["progress"]) == 0
    printed = capsys.readouterr().out
    assert "· scale             2  Scale a batch (3 hints taken)" in printed
    assert printed.count("hint") == 1


def test_a_hint_can_be_asked_for_by_its_number(exercises, capsys):
    hint("scale", 2)
    assert "Hint 2 of 3 on scale: One operation does it." in capsys.readouterr().out
    hint("scale", 1)
    hint("scale")
    assert "Hint 3 of 3" in capsys.readouterr().out
    for number in (0, 4, "1", True, 1.0):
        with pytest.raises(UnknownQuestion, match="give 1 to 3"):
            hint("scale", number)


def test_hints_and_passes_stand_in_one_note(exercises):
    hint("scale")
    check("scale", lambda x, factor: x * factor)
    hint("scale")
    note = json.loads((exercises / ".progress.json").read_text())
    assert note["hints taken"] == {"scale": 2} and "scale" in note


def test_a_question_without_hints_says_so(exercises, capsys):
    hint("count")
    assert capsys.readouterr().out.startswith("There are no hints on count.")
    with pytest.raises(UnknownQuestion, match='Did you mean "scale"'):
        hint("scal")


def test_where_there_are_no_fixtures_hints_stop_no_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_EXERCISES", str(tmp_path))
    hint("scale")
    assert capsys.readouterr().out.startswith("No hints here. COURSE_EXERCISES is ")


def test_hints_go_on_where_nothing_can_be_noted(exercises, monkeypatch, capsys):
    def refuse(path, content):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("course_lib.grading.asking.progress.atomic_write", refuse)
    hint("scale")
    hint("scale")
    assert "Hint 2 of 3" in capsys.readouterr().out


@pytest.mark.parametrize("note", ['{"hints taken": 3}', '{"hints taken": {"scale": "x"}}', "[]"])
def test_a_damaged_note_of_hints_is_started_anew(note, exercises, capsys):
    (exercises / ".progress.json").write_text(note)
    hint("scale")
    assert "Hint 1 of 3" in capsys.readouterr().out


def test_hints_are_not_read_by_accident_and_do_not_make_a_question_another(exercises):
    path = exercises / "expected" / "03_sample.json"
    assert "Look at the units" not in path.read_text(encoding="utf-8")
    fixture = read_exercise(path).fixtures[0]
    assert fixture.hints == (
        "Look at the units.",
        "One operation does it.",
        "It is a product: x * …",
    )
    assert replace(fixture, hints=()).fingerprint() == fixture.fingerprint()


@pytest.mark.parametrize("given", [("a",) * 4, ("a", " "), ("a", 1), "abc"])
def test_hints_are_at_most_three_texts(given):
    with pytest.raises(AuthoringError, match="hints"):
        Question(id="q", title="Q", points=1, kind="written", hints=given)
