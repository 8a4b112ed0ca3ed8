"""The exercises of the course: up to date, right, and every known mistake gets its own hint."""

import re

import nbformat
import pytest
import torch

from course_lib.grading.authoring.exercises import make_fixture
from course_lib.grading.authoring.questions import draw_inputs
from course_lib.grading.authoring.release import find_solutions, release, review_exercises
from course_lib.grading.authoring.review import review
from course_lib.grading.authoring.solutions import load_solution, run_solution
from course_lib.metrics import psnr
from course_lib.models.autoencoders import reconstruction_loss
from course_lib.paths import REPOSITORY

SOLUTIONS = [load_solution(path) for path in find_solutions(REPOSITORY)]
QUESTIONS = [(solution, question) for solution in SOLUTIONS for question in solution.questions]


@pytest.fixture(scope="module")
def answers():
    """Exercise → question → the solution's answer."""
    return {solution.name: run_solution(solution) for solution in SOLUTIONS}


def by_name(value):
    return getattr(value, "name", None) or getattr(value, "id", None)


def test_exercises_are_what_release_writes():
    stale = release(REPOSITORY, check=True)
    assert not stale, f"out of date: {', '.join(stale)}. Run `course release` and commit."


def test_solutions_pass_and_every_known_mistake_is_rejected_with_its_hint():
    for name, rows in review_exercises(REPOSITORY):
        assert rows, name
        assert [row for row in rows if not row.is_as_expected] == []
        assert all(row.judgement.hint for row in rows if row.answer != "solution")


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
@pytest.mark.parametrize("seed", ["secret 1", "secret 2", "secret 3"])
def test_the_same_holds_for_inputs_of_other_seeds(solution, seed, answers):
    found = answers[solution.name]
    made = [make_fixture(question, found.get(question.id), seed) for question in solution.questions]
    rows = review(solution, made, found)
    assert [(row.question, row.answer) for row in rows if not row.is_as_expected] == []


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_an_exercise_has_hints_on_every_question_or_on_none(solution):
    checked = [question for question in solution.questions if question.kind != "written"]
    assert len({bool(question.hints) for question in checked}) == 1


@pytest.mark.parametrize("solution, question", QUESTIONS, ids=by_name)
def test_the_prompt_names_the_question_its_points_and_its_inputs(solution, question):
    by_hand = ", marked by hand" if question.kind == "written" else ""
    points = "1 point" if question.points == 1 else f"{question.points} points"
    heading = f"### `{question.id}` ({points}{by_hand})"
    [prompt] = [cell.source for cell in solution.notebook.cells if cell.source.startswith(heading)]
    if question.is_called:
        names = {*draw_inputs(question, "seed")[0]} - {"config", "weights"}
        assert [name for name in names if not re.search(rf"`[^`]*\b{name}\b[^`]*`", prompt)] == []
        assert re.search("[Rr]eturns|as above", prompt)


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_the_first_cell_states_all_points(solution):
    total = sum(question.points for question in solution.questions)
    assert f"**Points:** {total}." in solution.notebook.cells[0].source


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_students_see_no_line_of_a_solution(solution):
    inside, secret = False, set()
    for cell in solution.notebook.cells:
        for line in cell.source.splitlines():
            inside = "BEGIN SOLUTION" in line or (inside and "END SOLUTION" not in line)
            if inside and "BEGIN SOLUTION" not in line and len(line.strip()) > 12:
                secret.add(line.strip())
    exercise = REPOSITORY / "exercises" / f"{solution.name}.ipynb"
    shown = [cell.source for cell in nbformat.read(exercise, as_version=4).cells]
    assert secret
    assert [line for line in secret for source in shown if line in source] == []


@pytest.mark.parametrize("solution", SOLUTIONS, ids=by_name)
def test_fixtures_are_small(solution):
    files = list((REPOSITORY / "exercises" / "expected").glob(f"{solution.name}*"))
    assert sum(path.stat().st_size for path in files if path.suffix != ".png") < 200_000
    assert sum(path.stat().st_size for path in files) < 600_000


# --------------------------------------------------- exercise 1 against independent oracles


@pytest.fixture
def first(answers):
    return answers["01_autoencoders"]


def test_patches_are_what_slicing_gives(first):
    image = torch.rand(3, 6, 9)
    patches = first["cut-patches"](image, 3)
    for row in range(2):
        for column in range(3):
            window = image[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            assert torch.equal(patches[3 * row + column], window.flatten())
    assert torch.equal(first["join-patches"](patches, 3, 6, 9), image)


def test_layers_are_what_torch_has(first):
    layer = torch.nn.Linear(12, 4)
    x = torch.rand(5, 12)
    expected = torch.sigmoid(layer(x))
    torch.testing.assert_close(first["encode"](x, layer.weight, layer.bias), expected)


def test_loss_and_psnr_are_those_of_the_library(first):
    image, other = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    x, x_hat = (first["cut-patches"](picture / 255, 4) for picture in (image, other))
    loss = first["loss"](x, x_hat)
    torch.testing.assert_close(loss, reconstruction_loss(x, x_hat))
    expected = psnr(image.permute(1, 2, 0).numpy(), other.permute(1, 2, 0).numpy())
    assert first["psnr"](loss, 48).item() == pytest.approx(expected, abs=1e-4)


def test_gradient_by_hand_is_that_of_autograd(first):
    a = torch.linspace(-8, 8, 50, dtype=torch.float64, requires_grad=True)
    x = torch.rand(50, dtype=torch.float64)
    (torch.sigmoid(a) - x).square().sum().backward()
    torch.testing.assert_close(first["saturation"](a.detach(), x), a.grad)


def test_tied_loss_is_that_of_two_layers_that_share_a_matrix(first):
    x, W, b, b_out = torch.rand(3, 6), torch.randn(4, 6), torch.randn(4), torch.randn(6)
    model = first["autoencoder"](6, 4)
    weights = {"encoder.weight": W, "encoder.bias": b, "decoder.weight": W.T, "decoder.bias": b_out}
    model.load_state_dict(weights)
    torch.testing.assert_close(first["tied-loss"](x, W, b, b_out), first["loss"](x, model(x)))


def test_code_takes_the_bytes_that_numpy_writes(first):
    codes = torch.zeros(1, 16).numpy()  # of one patch
    assert first["code-bits"] == codes.nbytes * 8 / (8 * 8)
