"""What a student sees: passed, or one short message that helps."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import sample_exercise
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

from course_lib.errors import CourseError
from course_lib.grading import FixtureError, NotAnswered, UnknownQuestion, WrongAnswer, check
from course_lib.grading.asking.judgement import judge_outcomes
from course_lib.grading.asking.outcomes import run_cases
from course_lib.grading.asking.progress import exercises_folder, read_progress
from course_lib.grading.asking.values import freeze, thaw
from course_lib.grading.authoring.release import release


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    repository = tmp_path_factory.mktemp("sample")
    sample_exercise.write_sample(repository)
    release(repository)
    return repository / "exercises"


@pytest.fixture
def exercises(released, tmp_path, monkeypatch):
    """A copy of the sample's exercises, which this test may damage."""
    monkeypatch.delenv("COURSE_EXERCISES", raising=False)
    folder = tmp_path / "course" / "exercises"
    shutil.copytree(released, folder)
    monkeypatch.chdir(folder)
    return folder


def scale(x, factor):
    return x * factor


class Layer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.line = nn.Linear(inputs, 2)

    def forward(self, x):
        return self.line(x)


RIGHT = {
    "scale": scale,
    "slope": lambda x: (x * x).sum(),
    "layer": Layer,
    "count": 8 / 3,
    "pick": "b",
}


@pytest.mark.parametrize("question", RIGHT)
def test_right_answers_pass_and_are_noted(question, exercises, capsys):
    assert check(question, RIGHT[question]) is None  # nbgrader takes a result for partial credit
    assert capsys.readouterr().out.startswith(f"✓ {question}: passed (")
    [(_, solved)] = read_progress(exercises)
    assert [name for name, done in solved.items() if done] == [question]


def message_of(question, answer) -> str:
    with pytest.raises(WrongAnswer) as caught:
        check(question, answer)
    assert isinstance(caught.value, AssertionError)
    assert caught.value._render_traceback_() == [str(caught.value)]
    return str(caught.value)


def test_message_says_what_differs_with_which_input_and_the_hint(exercises):
    message = message_of("scale", lambda x, factor: x / factor)
    headline, called, *values, hint = message.splitlines()
    assert headline.startswith("✗ scale: 12 of 12 values are wrong; the largest difference is ")
    assert called == "Called with x: float32 tensor (4, 3), factor: 2.5."
    assert hint == "Hint: Multiply, do not divide."
    names = {"torch": torch}
    exec("\n".join(line.strip() for line in values).replace(",\n", ", "), names)  # as pasted
    x, got, expected = (torch.tensor(names[name]) for name in ("x", "got", "expected"))
    torch.testing.assert_close(got, x / 2.5, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(expected, x * 2.5, rtol=1e-3, atol=1e-3)


def test_unknown_mistake_gets_no_hint(exercises):
    assert "Hint" not in message_of("scale", lambda x, factor: x * factor + 1)


def test_modules_are_called_in_evaluation_mode_and_in_training(exercises):
    class WithDropout(Layer):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.dropout = nn.Dropout(0.9)

        def forward(self, x):
            return self.dropout(self.line(x))

    message = message_of("layer", WithDropout)
    assert "right after eval(), but it is another after train()" in message


def test_gradients_weigh_outputs_differently():
    """The sum of a softmax is 1 whatever goes in: with equal weights no gradient would be left."""
    x = torch.randn(5)
    [outcome], error = run_cases("gradient", lambda x: x.softmax(0), [{"x": freeze(x)}], ["x"])
    assert error is None
    x.requires_grad_()
    (torch.linspace(0.5, 1.5, 5) * x.softmax(0)).sum().backward()
    torch.testing.assert_close(thaw(outcome.gradients["x"]), x.grad)
    assert x.grad.abs().max() > 0.01


def test_an_input_that_the_result_does_not_depend_on_has_no_gradient():
    inputs = {"x": freeze(torch.ones(2)), "y": freeze(torch.ones(2))}
    [outcome], error = run_cases("gradient", lambda x, y: 2 * x, [inputs], ["x", "y"])
    assert error is None and outcome.gradients["y"] is None
    assert outcome.gradients["x"].array.tolist() == [1, 3]


def test_outcomes_that_are_missing_never_pass(exercises):
    [exercise] = [exercise for exercise, _ in read_progress(exercises)]
    scale_fixture = exercise.fixtures[0]
    right = [case.expected for case in scale_fixture.cases]
    assert judge_outcomes(scale_fixture, right).passed
    for outcomes in ([], right[:1], [*right, right[0]]):
        assert not judge_outcomes(scale_fixture, outcomes).passed
    mistake = scale_fixture.mistakes[0]
    assert judge_outcomes(scale_fixture, list(mistake.outcomes)).mistake == mistake.name
    assert judge_outcomes(scale_fixture, [*mistake.outcomes, right[0]]).mistake == ""


def test_a_mistake_is_recognised_only_if_it_is_made_in_every_case(exercises):
    calls = []

    def divide_once(x, factor):
        calls.append(x)
        return (x / factor) if len(calls) == 1 else x[0, 99]

    with pytest.raises(IndexError) as caught:
        check("scale", divide_once)
    assert "Hint" not in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "question, answer, words",
    [
        ("scale", lambda x, f: x.T * f, r"got shape (3, 4), expected shape (4, 3)"),
        ("scale", lambda x, f: None, "got None: it has no `return …`"),
        ("scale", lambda x, f: (x * f).numpy(), "got float32 array (4, 3), expected float32 ten"),
        ("scale", lambda x, f: (x * f).long(), "got integers (int64), expected floats (float32)"),
        ("scale", lambda x, f: x * torch.nan, "12 of 12 values are NaN at [0, 0]"),
        ("scale", lambda x, f: 2 * x * f, "(all are 2 times too large)"),
        ("scale", lambda x, f: x.mul_(f), "it changes its input x in place"),
        ("scale", lambda x, f: object(), "an object of type object; expected tensors"),
        ("scale", torch.ones(4, 3), "got float32 tensor (4, 3); expected a function"),
        ("scale", 3, "got 3; expected a function"),
        ("slope", lambda x: x.detach().square().sum(), "no gradient reaches x"),
        ("slope", lambda x: x.square().sum().item(), "no gradient reaches x"),
        ("slope", lambda x: 2 * x.square().sum() - x.detach().square().sum(), "its gradient with"),
        ("layer", Layer(3), "got an object of class Layer; expected the class itself: Layer,"),
        ("layer", scale, "an object of type function; expected a class that inherits from nn.M"),
        ("layer", int, "expected a class that inherits from nn.Module"),
        ("layer", lambda inputs: Layer(inputs), "expected a class that inherits from nn.Module"),
        ("count", "8/3", "got '8/3'; expected a number"),
        ("count", None, "got None; expected a number"),
        ("count", True, "got True; expected a number"),
        ("count", float("nan"), "got nan; expected a number"),
        ("count", torch.ones(2), "got float32 tensor (2,); expected a number"),
        ("count", object(), "got an object of type object; expected a number"),
        pytest.param(
            "count", 10**6000, "got an integer of 19932 bits; expected a number", id="huge"
        ),
        ("count", 1e307, "got 1e+307; expected a number"),
        ("count", 2.66, "2.66 is not the answer"),
        ("pick", "e", """got 'e'; expected one of "a", "b", "c\""""),
        ("pick", "", "got ''; expected one of"),
        ("pick", 2, "got 2; expected one of"),
        ("pick", "bc", "'bc' is not the answer"),
    ],
)
def test_wrong_types_shapes_and_values_are_named(question, answer, words, exercises):
    message = message_of(question, answer)
    assert words in message
    assert max(map(len, message.splitlines())) < 250


@pytest.mark.parametrize(
    "answer", [2.67, 2.6667, torch.tensor(8 / 3), np.float32(8 / 3), np.array([2.665001])]
)
def test_a_value_passes_however_it_was_rounded(answer, exercises):
    check("count", answer)


@pytest.mark.parametrize("answer", ["B", " b ", ["b"], {"b"}])
def test_a_choice_passes_however_it_was_written(answer, exercises):
    check("pick", answer)


def test_wrong_parameters_of_a_module_are_listed(exercises):
    class Other(Layer):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.more = nn.Linear(2, 2, bias=False)

    message = message_of("layer", Other)
    assert "parameters are line.weight (2, 3), line.bias (2,), more.weight (2, 2);" in message


def test_an_answer_that_raises_shows_its_own_error_and_the_input(exercises):
    def divide(x, factor):
        return x[0, 99]

    with pytest.raises(IndexError, match="out of bounds") as caught:
        check("scale", divide)
    [note] = caught.value.__notes__
    assert note.startswith(
        "✗ scale: your answer raised this.\nCalled with x: float32 tensor (4, 3)"
    )
    frames = [entry.name for entry in caught.traceback]
    assert frames[-2:] == ["check", "divide"]


def test_a_known_mistake_that_raises_gets_its_hint(exercises):
    with pytest.raises(RuntimeError, match="mat1 and mat2") as caught:
        check("scale", lambda x, factor: x @ x)
    assert caught.value.__notes__[0].endswith("Hint: * multiplies number by number.")


def test_wrong_number_of_arguments_is_an_error_of_the_answer(exercises):
    with pytest.raises(TypeError, match="1 positional argument") as caught:
        check("scale", lambda x: x)
    assert caught.traceback[-1].name == "check"


def stub(x, factor):
    raise NotImplementedError("multiply")


class LayerOfDots(Layer):
    def forward(self, x):
        y = ...
        return y


@pytest.mark.parametrize(
    "question, answer", [("scale", stub), ("count", ...), ("pick", ...), ("layer", LayerOfDots)]
)
def test_what_is_not_answered_yet_is_no_wrong_answer(question, answer, exercises):
    with pytest.raises(NotImplementedError) as caught:
        check(question, answer)
    (line,) = caught.value._render_traceback_()
    assert line.startswith(f"○ {question}: not answered yet. ") and "\n" not in line


def test_an_open_question_still_says_what_is_to_be_written(exercises):
    with pytest.raises(NotAnswered, match=r"^multiply$") as caught:
        check("scale", stub)
    assert caught.value.question == "scale"


class WithoutForward(Layer):
    forward = nn.Module.forward


def without_values(x, factor):
    return torch.zeros(1, device="meta") * torch.zeros(1, device="meta").item()


@pytest.mark.parametrize("question, answer", [("layer", WithoutForward), ("scale", without_values)])
def test_what_torch_has_not_implemented_is_no_stub(question, answer, exercises):
    with pytest.raises((NotImplementedError, RuntimeError)) as caught:
        check(question, answer)
    assert not hasattr(caught.value, "_render_traceback_")


STUB = 'def scale(x, factor):\n    raise NotImplementedError("multiply")'


@pytest.mark.slow
def test_a_notebook_shows_one_line_for_a_check_and_for_a_cell_that_meet_a_stub(exercises):
    sources = [
        "from course_lib.grading import check",
        STUB,
        'check("scale", scale)',
        "scale(1, 2)",
        "import torch\ntorch.nn.Module()(1)",
        "1 / 0",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": str(exercises)}}
    NotebookClient(notebook, timeout=120, allow_errors=True, resources=resources).execute()
    checked, called, other, wrong = (cell.outputs[0] for cell in notebook.cells[2:])
    assert checked.ename == "NotAnswered" and checked.evalue == "multiply"
    assert checked.traceback == [
        "○ scale: not answered yet. Write your answer in the cell above, run it, then run this "
        "cell again."
    ]
    assert called.ename == "NotImplementedError"
    assert called.traceback == ["○ scale: not written yet (multiply)."]
    assert other.ename == "NotImplementedError" and len(other.traceback) > 2
    assert wrong.ename == "ZeroDivisionError" and len(wrong.traceback) > 2


@pytest.mark.parametrize(
    "question, words",
    [
        ("scal", 'There is no question "scal". Did you mean "scale"?'),
        ("zzz", "`course progress` lists all questions."),
        (scale, "of type function; expected a question's id in quotes"),
        ("why", "answered in words and marked by hand"),
    ],
)
def test_unknown_question_is_an_error_of_its_own(question, words, exercises):
    with pytest.raises(UnknownQuestion) as caught:
        check(question, scale)
    assert words in str(caught.value)
    assert isinstance(caught.value, CourseError)


@pytest.mark.parametrize(
    "name, damage",
    [
        ("03_sample.json", lambda path: path.unlink()),
        ("03_sample.json", lambda path: path.write_text('{"format": 2, "id": "scale"')),
        ("03_sample.json", lambda path: path.write_bytes(path.read_bytes()[:-200])),
        ("03_sample.json", lambda path: path.write_text('["id": "scale"]')),
        ("03_sample.json", lambda path: replace(path, '"format": 2', '"format": 99')),
        ("03_sample.json", lambda path: replace(path, '"points": 2', '"marks": 2')),
        ("03_sample.json", lambda path: replace(path, '"tensor": 0', '"tensor": 1000')),
        ("03_sample.safetensors", lambda path: path.unlink()),
        ("03_sample.safetensors", lambda path: path.write_bytes(b"")),
        ("03_sample.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("03_sample.safetensors", lambda path: path.write_bytes(path.read_bytes() + b"x")),
    ],
)
def test_missing_or_damaged_fixture_is_named_with_what_to_do(name, damage, exercises):
    damage(exercises / "expected" / name)
    with pytest.raises(FixtureError) as caught:
        check("scale", scale)
    message = str(caught.value)
    assert str(exercises / "expected" / name) in message
    assert "git checkout -- exercises/expected" in message


def replace(path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_copies_of_a_notebook_are_no_exercises_of_their_own(exercises):
    notebook = exercises / "03_sample.ipynb"
    shutil.copy(notebook, exercises / "03_sample-Copy1.ipynb")
    (exercises / "04_scribble.ipynb").write_text("no notebook")
    assert [exercise.name for exercise, _ in read_progress(exercises)] == ["03_sample"]
    with pytest.raises(UnknownQuestion):
        check("zzz", scale)


def test_progress_names_a_fixture_that_is_missing(exercises):
    (exercises / "expected" / "03_sample.json").unlink()
    with pytest.raises(FixtureError, match=r"03_sample\.json cannot be read: No such file"):
        read_progress(exercises)


def test_a_damaged_exercise_does_not_stop_the_others(exercises, capsys):
    for suffix in (".json", ".safetensors"):
        (exercises / "expected" / f"02_other{suffix}").write_bytes(b"damaged")
    check("scale", scale)
    with pytest.raises(FixtureError, match=r"02_other\.json is damaged"):
        check("zzz", scale)


def test_exercises_are_found_upward_by_variable_and_in_the_clone(exercises, tmp_path, monkeypatch):
    deep = exercises.parent / "solutions" / "deep"
    deep.mkdir(parents=True)
    for folder in (exercises, exercises.parent, deep, exercises / "expected"):
        monkeypatch.chdir(folder)
        assert exercises_folder().samefile(exercises)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert exercises_folder() == sample_exercise.REPOSITORY / "exercises"
    monkeypatch.setenv("COURSE_EXERCISES", str(exercises))
    assert exercises_folder() == exercises
    monkeypatch.setenv("COURSE_EXERCISES", str(elsewhere))
    with pytest.raises(FixtureError, match=r"COURSE_EXERCISES is .*elsewhere, where"):
        exercises_folder()


def test_without_any_exercises_the_error_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_EXERCISES", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("course_lib.grading.asking.progress.REPOSITORY", tmp_path / "nowhere")
    with pytest.raises(FixtureError, match=f"upward from {tmp_path} nor in .*nowhere"):
        check("scale", scale)


def test_a_changed_question_counts_as_unsolved(exercises):
    check("count", 8 / 3)
    check("pick", "b")
    replace(exercises / "expected" / "03_sample.json", '"decimals": 2', '"decimals": 3')
    replace(exercises / "expected" / "03_sample.json", '"Not a."', '"Not this one."')
    [(_, solved)] = read_progress(exercises)
    assert not solved["count"] and solved["pick"]


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"scale": 3}'])
def test_damaged_progress_is_started_anew(content, exercises):
    (exercises / ".progress.json").write_text(content)
    check("scale", scale)
    assert read_progress(exercises)[0][1]["scale"]


def test_progress_that_cannot_be_written_stops_no_check(exercises, monkeypatch):
    def refuse(path, content):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("course_lib.grading.asking.progress.atomic_write", refuse)
    check("scale", scale)
    assert not (exercises / ".progress.json").exists()


def test_progress_is_a_note_of_passes_only(exercises):
    check("scale", scale)
    check("count", 8 / 3)
    message_of("pick", "a")
    assert list(json.loads((exercises / ".progress.json").read_text())) == ["count", "scale"]
    assert sorted(path.name for path in exercises.iterdir() if path.name[0] == ".") == [
        ".progress.json"
    ]


def test_small_answer_spaces_are_not_in_the_file_and_share_no_hash(exercises):
    from course_lib.grading.asking.seals import seal_choice, seal_value

    text = (exercises / "expected" / "03_sample.json").read_text(encoding="utf-8")
    questions = {question["id"]: question for question in json.loads(text)["questions"]}
    for name in ("count", "pick"):
        assert set(questions[name]) <= {
            *("id", "title", "points", "kind", "rtol", "atol", "decimals", "options"),
            *("sealed", "mistakes"),
        }
    assert "2.67" not in text and "8/3" not in text and '"b"' not in text
    assert seal_choice("pick", "b", "abc") != seal_choice("another", "b", "abc")
    began = time.perf_counter()
    seal_value("count", 3, 0)
    assert time.perf_counter() - began > 0.005  # a million tries take hours


@pytest.mark.slow
def test_notebook_shows_the_message_alone(exercises):
    sources = [
        "from course_lib.grading import check",
        'check("scale", lambda x, factor: x / factor)',
        'check("scal", None)',
        'check("scale", lambda x, factor: x * factor)',
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": str(exercises)}}
    NotebookClient(notebook, timeout=60, allow_errors=True, resources=resources).execute()
    _, wrong, unknown, right = [cell.outputs for cell in notebook.cells]
    assert wrong[0].ename == "WrongAnswer"
    assert [line[:8] for line in wrong[0].traceback[0].splitlines()] == [
        "✗ scale:",
        "Called w",
        "Hint: Mu",
    ]
    assert unknown[0].traceback == ['There is no question "scal". Did you mean "scale"?']
    assert right[0].text == "✓ scale: passed (2 points)\n"


@pytest.mark.slow
def test_check_answers_at_once(exercises):
    """In a process that has torch, as every notebook has; the best of three on a busy machine."""
    program = f"""\
import sys, time, torch
sys.path.insert(0, {str(sample_exercise.HERE)!r})
from test_grading_check import RIGHT
from course_lib.grading import check
for question in RIGHT:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        check(question, RIGHT[question])
        times.append(time.perf_counter() - began)
    print(min(times), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(float(line) < 0.2 for line in run.stderr.split())
