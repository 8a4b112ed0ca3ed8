"""From solutions to exercises: what is written, what is refused, and what students get."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import numpy as np
import pytest
import sample_exercise
from PIL import Image
from sample_exercise import COUNT, NAME, PICK, REPOSITORY, SPECS, cells, picture, write_sample

from course_lib.errors import CourseError, InputError
from course_lib.grading import WrongAnswer, check
from course_lib.grading.asking.fixtures import read_exercise
from course_lib.grading.authoring import pictures
from course_lib.grading.authoring.bundle import BUNDLED, MADE, NOT_BUNDLED, bundle
from course_lib.grading.authoring.exercises import dump_exercise, make_fixture
from course_lib.grading.authoring.mistakes import uniform
from course_lib.grading.authoring.questions import (
    AuthoringError,
    KnownMistake,
    Question,
    draw_inputs,
)
from course_lib.grading.authoring.release import release, review_exercises
from course_lib.grading.authoring.review import review
from course_lib.grading.authoring.solutions import load_solution, run_solution


def files(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def student_version(repository):
    return nbformat.read(repository / "exercises" / f"{NAME}.ipynb", as_version=4)


# ------------------------------------------------------------------------------ release


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    write_sample(folder)
    release(folder)
    return folder


@pytest.fixture
def repository(released, tmp_path):
    """The sample, released."""
    return shutil.copytree(released, tmp_path, dirs_exist_ok=True)


def test_students_get_stubs_and_nothing_of_the_solutions(repository):
    released = b"".join(files(repository / "exercises").values()).decode("latin-1")
    for secret in ("secret", "SOLUTION", "square().sum()", "8 / 3"):
        assert secret not in released
    source = {cell.id: cell.source for cell in student_version(repository).cells}
    assert source["scale"] == (
        'def scale(x, factor):\n    raise NotImplementedError("multiply \\"x\\" by factor")'
    )
    assert source["count"] == "count = ...  # a number"
    assert source["layer"].endswith("    y = ...  # (B, 2)\n        return y")
    assert source["why"] == "*Write your answer here.*"
    assert source["check-scale"] == 'check("scale", scale)'


def test_every_stub_compiles_and_raises_nothing_but_not_implemented(repository, monkeypatch):
    monkeypatch.setenv("COURSE_EXERCISES", str(repository / "exercises"))
    namespace = {}
    for cell in student_version(repository).cells:
        if cell.cell_type == "code":
            with contextlib.suppress(NotImplementedError):
                exec(cell.source, namespace)
    assert {"scale", "slope", "Layer", "count", "pick"} <= set(namespace)


def test_exercise_is_a_valid_notebook_without_outputs_and_locked_where_nbgrader_locks(repository):
    notebook = student_version(repository)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    locked = {cell.id for cell in notebook.cells if cell.metadata.get("editable") is False}
    assert locked == {"given", *(cell.id for cell in cells() if cell.id.startswith("check-"))}
    kept = {
        cell.id: cell.metadata.nbgrader for cell in notebook.cells if "nbgrader" in cell.metadata
    }
    assert kept == {c.id: c.metadata["nbgrader"] for c in cells() if "nbgrader" in c.metadata}


def test_the_saved_picture_stands_below_its_cell_framed_and_called_expected(repository):
    cell_ids = [cell.id for cell in student_version(repository).cells]
    assert cell_ids[cell_ids.index("shown") + 1] == "shown-expected"
    beside = student_version(repository).cells[cell_ids.index("shown-expected")]
    width = 2 + 2 * pictures.BORDER
    image = (
        f'<img src="expected/{NAME}-shown.png" width="{width}" '
        'alt="Expected: A &quot;red&quot; square.">'
    )
    caption, shown = beside.source.split("\n\n")
    assert caption.startswith("**Expected**") and shown == image
    content = (repository / "exercises" / "expected" / f"{NAME}-shown.png").read_bytes()
    assert content.startswith(b"\x89PNG")


@pytest.mark.parametrize("mode, colors", [("P", 200), ("RGB", 9000), ("RGBA", 9000)])
def test_a_frame_keeps_the_pixels_of_a_picture_and_a_chart_its_palette(mode, colors):
    values = np.arange(100 * 200) % colors
    array = np.stack([values % 256, values // 256, values * 0 + 7], -1).astype(np.uint8)
    image = Image.fromarray(array.reshape(100, 200, 3))
    if mode == "P":
        image = image.quantize(colors)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "PNG")
    png, width = pictures.frame(buffer.getvalue(), width=100)  # twice as fine as it is shown
    framed = Image.open(io.BytesIO(png))
    left, top = 2 * pictures.BORDER, 2 * pictures.BAND
    inner = framed.convert("RGB").crop((left, top, left + 200, top + 100))
    assert inner.tobytes() == image.convert("RGB").tobytes()
    assert (framed.mode == "P") == (mode == "P")
    assert width == 100 + 2 * pictures.BORDER


def test_a_picture_that_is_packed_otherwise_is_not_released_anew(repository):
    path = repository / "exercises" / "expected" / f"{NAME}-shown.png"
    Image.open(path).convert("RGB").save(path, compress_level=0)
    assert release(repository, check=True) == {}
    Image.new("RGB", (18, 40)).save(path)
    assert [*release(repository, check=True)] == [f"exercises/expected/{NAME}-shown.png"]


@pytest.mark.slow
def test_release_is_the_same_byte_for_byte_elsewhere_and_again(repository, tmp_path_factory):
    before = files(repository / "exercises")
    assert release(repository) == {}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_sample(elsewhere)
    script = (
        f"from course_lib.grading.authoring.release import *; release(Path({str(elsewhere)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert files(elsewhere / "exercises") == before == files(repository / "exercises")


def change_answer(repository):
    wrong = [
        sample_exercise.answer("count", sample_exercise.COUNT.replace("8 / 3", "7 / 3"))
        if cell.id == "count"
        else cell
        for cell in cells()
    ]
    write_sample(repository, wrong)


def change_text(repository):
    changed = cells()
    changed[0].source += "\n\nMore text."
    write_sample(repository, changed)


def change_picture(repository):
    changed = cells()
    for cell in changed:
        if cell.id == "shown":
            cell.outputs = [picture("blue")]
    write_sample(repository, changed)


@pytest.mark.parametrize(
    "change, stale",
    [
        (change_text, [f"{NAME}.ipynb"]),
        (change_answer, [f"expected/{NAME}.json"]),
        (change_picture, [f"expected/{NAME}-shown.png"]),
        (
            lambda repository: write_sample(repository, specs=SPECS.replace("Not a.", "No.")),
            [f"expected/{NAME}.json"],
        ),
        (
            lambda repository: write_sample(repository, specs=SPECS.replace("4, 3", "5, 3")),
            [f"expected/{NAME}.json", f"expected/{NAME}.safetensors"],
        ),
        (
            lambda repository: (repository / f"exercises/expected/{NAME}.safetensors").unlink(),
            [f"expected/{NAME}.safetensors"],
        ),
        (
            lambda repository: (repository / "exercises/expected/02_old.json").write_text("{}"),
            ["expected/02_old.json"],
        ),
    ],
)
def test_check_finds_what_is_out_of_date_and_release_mends_it(change, stale, repository):
    change(repository)
    before = files(repository)
    paths = [f"exercises/{name}" for name in stale]
    assert sorted(release(repository, check=True)) == sorted(paths)
    assert files(repository) == before
    assert sorted(release(repository)) == sorted(paths)
    assert release(repository, check=True) == {}
    assert files(repository) != before


def test_last_bits_that_differ_between_machines_change_nothing(repository):
    path = repository / "exercises" / "expected" / f"{NAME}.json"
    exercise = read_exercise(path)
    for fixture in exercise.fixtures:
        for case in fixture.cases:
            array = case.expected.output.array
            array *= 1 + 3e-7
    table, arrays = dump_exercise(exercise)
    assert table != path.read_bytes()
    path.write_bytes(table)
    path.with_suffix(".safetensors").write_bytes(arrays)
    assert release(repository, check=True) == {}
    array *= 1.001
    table, arrays = dump_exercise(exercise)
    path.write_bytes(table)
    path.with_suffix(".safetensors").write_bytes(arrays)
    assert len(release(repository, check=True)) == 2


def test_errors_that_another_torch_words_differently_change_nothing(repository):
    path = repository / "exercises" / "expected" / f"{NAME}.json"
    text = path.read_text(encoding="utf-8")
    assert "RuntimeError: mat1 and mat2" in text
    path.write_text(text.replace("mat1 and mat2", "the matrices"), encoding="utf-8")
    assert release(repository, check=True) == {}
    path.write_text(text.replace("RuntimeError", "ValueError"), encoding="utf-8")
    assert release(repository, check=True) != {}


def test_an_exercise_that_somebody_worked_in_is_not_overwritten(repository):
    path = repository / "exercises" / f"{NAME}.ipynb"
    worked = path.read_text().replace('raise NotImplementedError(\\"the sum', "return x.sum() # (")
    path.write_text(worked)
    change_text(repository)
    with pytest.raises(InputError, match="somebody has worked in it"):
        release(repository)
    assert path.read_text() == worked
    path.rename(path.with_name("01_mine.ipynb"))
    release(repository)
    assert path.with_name("01_mine.ipynb").read_text() == worked


def test_exercise_of_a_solution_that_is_gone_is_removed(repository):
    old = repository / "exercises" / f"{NAME}.ipynb"
    shutil.copy(old, old.with_name("09_old.ipynb"))
    assert release(repository) == {"exercises/09_old.ipynb": "removed"}
    assert not old.with_name("09_old.ipynb").exists()


def test_fixtures_come_first_so_that_a_new_solution_can_be_run(tmp_path):
    fresh = cells()
    for cell in fresh:
        if cell.cell_type == "code":
            cell.outputs = []
    write_sample(tmp_path, fresh)
    with pytest.raises(AuthoringError, match=r"cell shown.* no saved picture.*course notebooks"):
        release(tmp_path)
    assert (tmp_path / "exercises" / "expected" / f"{NAME}.json").is_file()
    write_sample(tmp_path)
    assert f"exercises/{NAME}.ipynb" in release(tmp_path)


def test_other_seeds_draw_other_inputs_by_which_known_mistakes_are_recognised_too(repository):
    solution = load_solution(repository / "solutions" / f"{NAME}.ipynb")
    answers = run_solution(solution)
    scale = solution.questions[0]
    drawn = [draw_inputs(scale, seed)[0]["x"].tolist() for seed in ("a", "a", "b")]
    assert drawn[0] == drawn[1] != drawn[2]
    assert not np.allclose(*[case["x"] for case in draw_inputs(scale, "a")])
    fingerprints = set()
    for seed in ("secret", "another"):
        made = [make_fixture(q, answers.get(q.id), seed) for q in solution.questions]
        assert all(row.is_as_expected for row in review(solution, made, answers))
        fingerprints.add(made[0].fingerprint())
    assert len(fingerprints) == 2


# ----------------------------------------------------------------------------- refusals


def with_cell(cell_id, **changes):
    changed = cells()
    [cell] = [cell for cell in changed if cell.id == cell_id]
    for name, value in changes.items():
        cell[name] = value
    return changed


def with_marks(cell_id, **marks):
    changed = cells()
    [cell] = [cell for cell in changed if cell.id == cell_id]
    cell.metadata["nbgrader"].update(marks)
    return changed


def without(cell_id):
    return [cell for cell in cells() if cell.id != cell_id]


SCALE = sample_exercise.SCALE
ANSWERS = {
    "no region": "def scale(x, factor):\n    return x * factor",
    "no end": SCALE.replace("    ### END SOLUTION", ""),
    "end first": SCALE.replace("### BEGIN", "### END SOLUTION\n    ### BEGIN"),
    "nested": SCALE.replace("secret = ", "### BEGIN SOLUTION: more\n    secret = "),
    "no stub": SCALE.replace(': multiply "x" by factor', ""),
    "raises": SCALE.replace("def", "1 / 0\ndef"),
    "syntax": SCALE.replace("def", "%%time\ndef"),
    "wrong": SCALE.replace("x * factor", "x / factor"),
    "runs wrong": SCALE.replace("x * factor", "x @ x"),
}


@pytest.mark.parametrize(
    "changed, message",
    [
        (with_cell("title", source="Text first"), "no line `# Exercise N: title`"),
        (without("check-scale"), r"'scale' has cells \['answer'\], expected \['answer', 'check'\]"),
        (without("scale"), r"question 'scale' has cells \['check'\], expected"),
        (without("why"), r"question 'why' has cells \[\], expected \['written'\]"),
        ([*cells(), sample_exercise.check("more", "scale", 2)], "no question 'more' is specified"),
        ([*cells()[:2], *cells()[5:7], *cells()[2:5], *cells()[7:]], "cells ask in the order"),
        (with_marks("check-scale", points=3), "got 3 points, but question 'scale' has 2"),
        (with_marks("scale", schema_version=2), "nbgrader metadata is that of no kind of cell"),
        (with_marks("scale", locked=True), "nbgrader metadata is that of no kind of cell"),
        (with_marks("scale", grade_id="scales"), "no question 'scales' is specified"),
        (with_cell("check-scale", source='check("scale", scale); 1'), "expected check.*no more"),
        (with_cell("check-scale", source='check("slope", scale)'), "expected check"),
        (with_cell("check-scale", source="check("), "expected check"),
        (with_cell("given", source="### BEGIN SOLUTION\n### END SOLUTION"), "belongs into nbgr"),
        (with_cell("scale", source=ANSWERS["no region"]), "into every one of them"),
        (with_cell("scale", source=ANSWERS["no end"]), "`### END SOLUTION` is missing"),
        (with_cell("scale", source=ANSWERS["end first"]), "ends that has not begun"),
        (with_cell("scale", source=ANSWERS["nested"]), "begins within a solution"),
        (with_cell("scale", source=ANSWERS["no stub"]), "students would see no stub"),
        (with_cell("scale", source=ANSWERS["raises"]), "cell scale raises ZeroDivisionError"),
        (with_cell("scale", source=ANSWERS["syntax"]), "cell scale raises SyntaxError"),
        (with_cell("scale", source=ANSWERS["wrong"]), "known mistake divides is accepted"),
        (with_cell("scale", source=ANSWERS["runs wrong"]), "scale: its solution raises Runtime"),
        (with_cell("check-scale", source='check("scale", scales)'), "'scales' is not defined"),
        (with_cell("count", source=COUNT.replace("8 / 3", "2.665")), "limit of rounding to 2 dec"),
        (with_cell("count", source=COUNT.replace("8 / 3", '"8 / 3"')), "count: got '8 / 3'; exp"),
        (with_cell("pick", source=PICK.replace('"b"\n#', '"d"\n#')), "pick: got 'd'; expected one"),
        (with_cell("pick", source=PICK.replace('"b"\n#', '"a"\n#')), "pick: no hint for b"),
    ],
)  # fmt: skip
def test_authors_mistakes_are_named(changed, message, tmp_path):
    path = write_sample(tmp_path, changed)
    with pytest.raises(AuthoringError, match=message) as caught:
        release(tmp_path)
    assert isinstance(caught.value, CourseError)
    assert f"{NAME}.ipynb" in str(caught.value)
    assert path.is_file() and not (tmp_path / "exercises" / f"{NAME}.ipynb").exists()


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("QUESTIONS = (", "OTHER = (", "has no tuple QUESTIONS"),
        ("import torch", "import torchh", "raises ModuleNotFoundError"),
        ("def batch(rng):", "def batch(rng:", "raises SyntaxError"),
        ("x: x.square().mean()", "x: x.square().sum()", "mean is accepted"),
        ("x: x.square().mean()", "x: x.detach().square().sum()", "mean is taken for detached"),
        ("inputs=(vector,)", "inputs=()", "needs inputs, and nothing else has them"),
        ('gradient_of=("x",)', "gradient_of=()", "gradient_of goes with kind gradient"),
        ('options="abc"', 'options=""', "options go with kind choice"),
        ('kind="choice"', 'kind="guess"', "got kind 'guess', expected one of"),
        ('id="pick"', 'id="Pick!"', "expected an id of a-z"),
        ('id="pick"', 'id="count"', "two questions have one id"),
        ('"Not a."', '" "', "a known mistake has no hint"),
        (', KnownMistake("last", "c", "Not c.")', ",", "got 1 known mistakes, expected at least 2"),
        ('"last"', '"first"', "two known mistakes have one name"),
        ("points=2", "points=0", "got 0 points, expected at least 1"),
        ('title="A choice"', 'title=""', "expected a title"),
    ],
)  # fmt: skip
def test_mistakes_in_specs_are_named(old, new, message, tmp_path):
    assert old in SPECS
    write_sample(tmp_path, specs=SPECS.replace(old, new))
    with pytest.raises(AuthoringError, match=message):
        release(tmp_path)


def test_missing_specs_or_broken_notebook_are_named(tmp_path):
    path = write_sample(tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(AuthoringError, match=r"03_sample.ipynb cannot be read as a notebook"):
        release(tmp_path)
    (path.parent / "questions" / f"{NAME}.py").unlink()
    with pytest.raises(AuthoringError, match=r"03_sample.py is missing. Write it"):
        release(tmp_path)


def test_one_id_in_two_exercises_is_refused(repository):
    for source in (repository / "solutions").rglob(f"{NAME}.*"):
        shutil.copy(source, source.with_stem("04_other"))
    with pytest.raises(AuthoringError, match=r"04_other\.ipynb: 03_sample has a question scale"):
        release(repository)


def test_one_broken_solution_does_not_hold_up_the_others(repository):
    change_text(repository)
    broken = repository / "solutions" / "02_broken.ipynb"
    broken.write_text("{}")
    with pytest.raises(AuthoringError, match=r"02_broken\.py is missing"):
        release(repository)
    broken.unlink()
    assert release(repository, check=True) == {}


def test_without_solutions_there_is_nothing_to_release(tmp_path):
    with pytest.raises(InputError, match="a student bundle has no solutions"):
        release(tmp_path)


def test_a_hint_is_needed_for_every_wrong_choice():
    question = Question(
        id="pick",
        title="A choice",
        points=1,
        kind="choice",
        options="abcd",
        mistakes=(KnownMistake("a", "a", "Not a."), KnownMistake("d", "d", "Not d.")),
    )
    with pytest.raises(AuthoringError, match="no hint for c"):
        make_fixture(question, "b")


def test_draws_depend_on_seed_question_and_case():
    question = Question(
        id="q",
        title="Q",
        points=1,
        kind="function",
        inputs=(lambda rng: {"x": uniform(rng, 100, low=2, high=3)},) * 2,
        mistakes=(KnownMistake("a", abs, "A"), KnownMistake("b", abs, "B")),
    )
    first, second = draw_inputs(question, "seed")
    assert 2 <= first["x"].min() < 2.1 and 2.9 < first["x"].max() < 3
    assert not np.allclose(first["x"], second["x"])
    assert np.allclose(first["x"], draw_inputs(question, "seed")[0]["x"])


# ------------------------------------------------------------------------------- review


def test_the_example_in_the_guide_works_as_it_stands(tmp_path, monkeypatch):
    guide = (REPOSITORY / "docs" / "authoring_exercises.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    [specs] = [block for block in blocks if "QUESTIONS = (" in block]
    [source] = [block for block in blocks if block.startswith("def entropy")]
    [message] = [block for block in blocks if block.startswith("✗ entropy-bits")]
    title, given = cells()[:2]
    answer = sample_exercise.answer("entropy-bits", source.strip())
    checked = sample_exercise.check("entropy-bits", "entropy", 2)
    write_sample(tmp_path, [title, given, answer, checked], specs)
    release(tmp_path)
    monkeypatch.setenv("COURSE_EXERCISES", str(tmp_path / "exercises"))
    with pytest.raises(WrongAnswer) as caught:
        check("entropy-bits", lambda p: -(p * p.log()).sum())
    assert str(caught.value) == message.strip()


def test_review_lists_every_attempt_with_its_hint(repository):
    [(name, rows)] = review_exercises(repository)
    assert name == NAME and all(row.is_as_expected for row in rows)
    table = {(row.question, row.answer): row.judgement.hint for row in rows}
    assert len(table) == 5 + 3 + 2 + 2 + 2 + 2
    assert table["scale", "raises"] == "* multiplies number by number."
    assert table["scale", "solution"] == ""


def test_review_tells_when_released_fixtures_no_longer_catch_a_mistake(repository):
    write_sample(repository, specs=SPECS.replace("x / factor", "x / factor + 1"))
    [(_, rows)] = review_exercises(repository)
    assert [row.answer for row in rows if not row.is_as_expected] == ["divides"]


def test_review_of_an_unknown_exercise_is_refused(repository):
    with pytest.raises(InputError, match="No exercise 99_none; expected one of: 03_sample"):
        list(review_exercises(repository, ["99_none"]))


# ------------------------------------------------------------------------------- bundle


@pytest.fixture
def clone(repository):
    """The sample as a git clone, with things that do not belong to students."""
    contents = {
        "README.md": "readme",
        "Makefile": "lab:",
        "start.py": "",
        "course_lib/cli.py": "",
        "notebooks/03_sample.ipynb": "{}",
        "data/chapters.json": "[]",
        "tests/test_a.py": "",
        ".ci/run": "",
    }
    for name, content in contents.items():
        path = repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    untracked = ["notebooks/private.ipynb", "grades.csv", "exercises/.progress.json"]
    for name in [*untracked, "data/images/kodak/a.png", "course_lib/__pycache__/cli.pyc"]:
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("private")
    return repository


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


EXPECTED = {
    "README.md",
    "Makefile",
    "start.py",
    "course_lib/cli.py",
    "notebooks/03_sample.ipynb",
    "data/chapters.json",
    f"exercises/{NAME}.ipynb",
    f"exercises/expected/{NAME}.json",
    f"exercises/expected/{NAME}.safetensors",
    f"exercises/expected/{NAME}-shown.png",
}


def test_bundle_has_what_students_need_and_nothing_else(clone, tmp_path_factory):
    target = tmp_path_factory.mktemp("out") / "bundle"
    written = bundle(clone, target)
    assert set(files(target)) == EXPECTED == {str(path) for path in written}
    assert not [path for path in target.parent.iterdir() if path != target]
    assert files(target / "exercises") == {
        name: content for name, content in files(clone / "exercises").items() if name[0] != "."
    }


def test_bundle_without_git_is_the_same_but_for_files_that_git_would_not_know(
    clone, tmp_path_factory
):
    shutil.rmtree(clone / ".git")
    target = tmp_path_factory.mktemp("out")  # an empty folder may exist
    bundle(clone, target)
    assert set(files(target)) == EXPECTED | {"notebooks/private.ipynb"}


def test_bundle_is_refused_where_git_does_not_answer(clone, tmp_path_factory, monkeypatch):
    target = tmp_path_factory.mktemp("out") / "bundle"
    shutil.rmtree(clone / ".git" / "objects")
    with pytest.raises(InputError, match="is a git clone, but git does not list its files: fat"):
        bundle(clone, target)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"git does not list its files: .*No such file"):
        bundle(clone, target)
    assert not target.exists()


def test_bundle_takes_exercises_anew_whatever_lies_in_the_folder(clone, tmp_path_factory):
    path = clone / "exercises" / f"{NAME}.ipynb"
    released = path.read_bytes()
    path.write_text("somebody's answers")
    target = tmp_path_factory.mktemp("out") / "bundle"
    bundle(clone, target)
    assert (target / "exercises" / f"{NAME}.ipynb").read_bytes() == released


@pytest.mark.parametrize("occupy", [lambda path: path.write_text("a"), lambda path: full(path)])
def test_bundle_never_overwrites(occupy, clone, tmp_path):
    target = tmp_path / "out"
    occupy(target)
    before = files(tmp_path)
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        bundle(clone, target)
    assert files(tmp_path) == before


def full(path):
    path.mkdir()
    (path / "work").write_text("a")


def test_bundle_is_written_whole_or_not_at_all(clone, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("out")

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_lib.grading.authoring.bundle.shutil.copy2", fail)
    with pytest.raises(InputError, match="No space left on device"):
        bundle(clone, folder / "bundle")
    assert list(folder.iterdir()) == []


def test_every_tracked_entry_is_either_bundled_or_left_out_on_purpose():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git clone")
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True, check=True
    )
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert tops <= {*BUNDLED, *MADE, *NOT_BUNDLED}
    packages = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {packages["readme"], *packages["license-files"]} <= set(BUNDLED)


def test_bundled_lectures_have_no_answers_below_predictions(clone, tmp_path_factory):
    notebook = nbformat.v4.new_notebook(nbformat_minor=5)
    for name, tags in (("asked", ["predict"]), ("shown", [])):
        cell = nbformat.v4.new_code_cell("print(6 * 7)", id=name, metadata={"tags": tags})
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="42\n")]
        notebook.cells.append(cell)
    nbformat.write(notebook, clone / "notebooks" / "03_sample.ipynb")
    target = tmp_path_factory.mktemp("out") / "bundle"
    bundle(clone, target)
    bundled = nbformat.read(target / "notebooks" / "03_sample.ipynb", as_version=4)
    notebook.cells[0].outputs = []
    assert bundled == notebook


def test_the_bundle_of_the_course_says_nothing_of_what_students_do_not_have(tmp_path):
    target = tmp_path / "bundle"
    bundle(REPOSITORY, target)
    found = {
        f"{name}: {word}"
        for name, content in files(target).items()
        if not name.startswith(("course_lib/grading/", "LICENSE-text"))  # code and law, not advice
        for word in ("tests/", "solutions/", "git restore", "instructors_guide", "authoring_exerc")
        if word.encode() in content
    }
    assert found == {"start.py: tests/"}  # where the tests are, for those who have them
    for page in ("README.md", "docs/installation.md"):
        text = (target / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)[)#]", text):
            assert (target / page).parent.joinpath(link).exists(), f"{page} links to {link}"


@pytest.mark.slow
def test_the_bundle_of_the_course_stands_alone(tmp_path):
    target = tmp_path / "bundle"
    bundle(REPOSITORY, target)
    assert not [name for name in files(target) if name.startswith(("solutions", "tests"))]
    notebooks = {name: text for name, text in files(target).items() if name.endswith(".ipynb")}
    assert not [name for name, text in notebooks.items() if b"BEGIN SOLUTION" in text]
    variables = {name: value for name, value in os.environ.items() if name[:6] != "COURSE"}
    variables["PYTHONPATH"] = str(target)

    def run(*command):
        where = {"cwd": target / "exercises", "env": variables}
        return subprocess.run([sys.executable, *command], capture_output=True, text=True, **where)

    script = "from course_lib.grading import check; check('code-bits', 8)"
    assert run("-c", script).stdout == "✓ code-bits: passed (2 points)\n"
    assert "✓ code-bits" in run("-m", "course_lib.cli", "progress").stdout
    released = run("-m", "course_lib.cli", "release")
    assert released.returncode == 1 and "a student bundle has no solutions" in released.stderr
    install = ["--no-deps", "--no-build-isolation", "--no-index", "--dry-run", "--editable", target]
    installed = run("-m", "pip", "install", *install)
    assert installed.returncode == 0, installed.stderr
    assert run(target / "start.py", "--help").returncode == 0
    tested = run(target / "start.py", "test")
    assert tested.returncode == 1 and "for students, and has no tests" in tested.stderr


# ------------------------------------------------------------------------------ commands


@pytest.fixture
def in_sample(repository, monkeypatch):
    """The commands work on the sample."""
    from course_lib import cli, paths

    monkeypatch.setattr(paths, "REPOSITORY", repository)
    monkeypatch.setenv("COURSE_EXERCISES", str(repository / "exercises"))
    return cli.main


def test_release_command_says_what_it_wrote(in_sample, repository, capsys):
    assert in_sample(["release", "--check"]) == 0
    assert capsys.readouterr().out == "exercises/ is up to date.\n"
    change_text(repository)
    assert in_sample(["release", "--check"]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"exercises/{NAME}.ipynb: out of date\n"
    assert "Run `course release`" in shown.err
    assert in_sample(["release"]) == 0
    assert capsys.readouterr().out == f"exercises/{NAME}.ipynb: written\n"
    assert in_sample(["release", "--out", str(repository / "out")]) == 0
    assert "4 files, in exercises" in capsys.readouterr().out


def test_questions_command_shows_the_table_and_fails_when_a_mistake_gets_through(
    in_sample, repository, capsys
):
    assert in_sample(["questions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == NAME and len(lines) == 1 + 16
    assert lines[2].split() == ["✓", "scale", "divides", "Multiply,", "do", "not", "divide."]
    write_sample(repository, specs=SPECS.replace("x / factor", "x / factor + 1"))
    assert in_sample(["questions", NAME]) == 1
    assert "✗ scale" in capsys.readouterr().out
    assert in_sample(["questions", "nothing"]) == 1
    assert "No exercise nothing" in capsys.readouterr().err


def test_progress_command_lists_solved_and_unsolved_with_points(in_sample, capsys):
    check("scale", lambda x, factor: factor * x)
    capsys.readouterr()
    assert in_sample(["progress"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NAME}: 1 of 5 solved, 2 of 11 points"
    assert lines[1].split() == ["✓", "scale", "2", "Scale", "a", "batch"]
    assert lines[2].startswith("  · slope")
    assert lines[-1].endswith("In words (marked by hand)")


def test_commands_without_torch_start_at_once(repository):
    script = "import sys\nfrom course_lib.cli import main\nmain(['progress'])\n"
    script += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_fixtures_are_small_and_hold_no_code(repository):
    path = repository / "exercises" / "expected" / f"{NAME}.json"
    json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size + path.with_suffix(".safetensors").stat().st_size < 20_000
