"""The benchmark of grading compares what it says; its numbers come from `make bench-grading`."""

import json

import benchmark_grading
import pytest
import torch
from benchmark_grading import ASSERTS, FORGERIES, Graded, Grader, Measurement, Refused

from course_lib.grading.authoring.solutions import load_solution, run_solution
from course_lib.paths import REPOSITORY


@pytest.fixture(scope="module")
def solution():
    return load_solution(REPOSITORY / "solutions" / f"{benchmark_grading.EXERCISE}.ipynb")


def text_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


def always(seconds, marks):
    return {"course": Grader("", "", lambda notebooks: Graded(seconds, marks, {}))}


def test_no_two_submissions_are_equal_and_eight_of_ten_are_right(solution):
    notebooks, marks = benchmark_grading.mixed_class(solution, 20)
    assert len({text_of(notebook) for notebook in notebooks.values()}) == len(notebooks) == 20
    full = benchmark_grading.full_marks(solution)
    assert sum(given == full for given in marks.values()) == 16
    for student, given in marks.items():
        text = text_of(notebooks[student])
        assert ("20 * torch.log10" in text) == (given == full | {"psnr": 0})
        assert ('raise NotImplementedError("' in text) == (given == dict.fromkeys(full, 0))


def test_what_is_compared_has_every_answer_and_check_but_no_demonstration(solution):
    whole = benchmark_grading.solved(solution, with_demonstrations=True)
    notebook = benchmark_grading.solved(solution)
    assert {cell.id for cell in whole.cells} - {cell.id for cell in notebook.cells} >= {"train"}
    tests = benchmark_grading.checks(solution)
    assert [cell.source for cell in notebook.cells if "check(" in cell.source] == [*tests.values()]


def test_other_marks_than_expected_give_no_result():
    measurement = Measurement("course", "small", {}, {"ada": {"psnr": 2}})
    with pytest.raises(Refused, match=r"course gives ada .* \{'psnr': 0\}; expected"):
        benchmark_grading.measure([measurement], always(1.0, {"ada": {"psnr": 0}}), minutes=1)


def test_small_classes_are_repeated_until_time_is_up():
    small = Measurement("course", "small", {}, {}, rounds=3)
    measured = benchmark_grading.measure([small], always(1.0, {}), minutes=1)
    assert measured == {("course", "small"): [1.0, 1.0, 1.0]}
    measured = benchmark_grading.measure([small], always(1.0, {}), minutes=0)
    assert measured == {("course", "small"): [1.0]}


def test_start_up_and_the_time_of_each_are_told_apart():
    assert benchmark_grading.split(7.0, 25.0, (2, 20)) == (5.0, 1.0)
    found = benchmark_grading.describe_growth({10: [6.0, 9.0, 6.0], 110: [16.0]})
    assert found["seconds_per_submission_more"] == {"10 to 110": 0.1}
    assert [row["seconds"] for row in found["rows"]] == [6.0, 16.0]


def test_times_from_a_machine_that_is_too_busy_give_no_result():
    row = {"seconds_per_submission": 0.1}
    comparison = {"graders": {"course": row}}
    for more in (0.1, -0.1):
        growth = {"seconds_per_submission_more": {"10 to 100": more}}
        result = {"comparison": comparison, "growth": growth}
        if more > 0:
            benchmark_grading.refuse_noise(result)
        else:
            with pytest.raises(Refused, match="too busy"):
                benchmark_grading.refuse_noise(result)


def test_right_answers_pass_the_tests_by_assert_and_forgeries_have_no_right_answer(solution):
    answers = run_solution(solution)
    names = {solution.checked[question]: answers[question] for question in ASSERTS}
    assert ASSERTS.keys() == benchmark_grading.full_marks(solution).keys()
    for test in ASSERTS.values():
        exec(test, {"torch": torch, **names})
    for parts in FORGERIES.values():
        text = text_of(benchmark_grading.forge(solution, *parts))
        assert not any(f"def {name}(" in text or f"class {name}(" in text for name in names)


def test_the_guide_gives_what_was_measured():
    found = json.loads((REPOSITORY / "data" / "results" / "grading.json").read_text())
    guide = (REPOSITORY / "docs" / "instructors_guide.md").read_text(encoding="utf-8")
    for name, grader in found["comparison"]["graders"].items():
        [row] = [line for line in guide.splitlines() if line.startswith("| ") and name in line[:30]]
        each, thirty = (float(cell) for cell in row.split("|")[2:4])
        assert each == pytest.approx(grader["seconds_per_submission"], rel=0.05)
        assert thirty == pytest.approx(grader["seconds_for_30"], rel=0.02)
    for row in found["growth"]["rows"]:
        assert row["submissions"] == 10 or f"{row['seconds']:.0f} s" in guide
    forged = found["forgeries"]["points"]
    assert set(forged["course"].values()) == {0}
    for name in ("nbgrader", "otter"):
        assert forged[f"{name}, tests by assert"] == {"equal to anything": 24, "no asserts": 24}
        assert forged[f"{name}, tests by check"] == {"equal to anything": 0, "no asserts": 24}
