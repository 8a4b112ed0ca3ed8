"""Mutants: what is changed, which of them the cases tell apart, and what is declared equivalent."""

import numpy as np
import pytest
import sample_exercise
import torch
from sample_exercise import NAME, SPECS, write_sample

from course_lib.cli import main
from course_lib.errors import InputError
from course_lib.grading.authoring import mutants
from course_lib.grading.authoring.mutants import try_mutants, try_question
from course_lib.grading.authoring.mutations import mutate
from course_lib.grading.authoring.questions import (
    AuthoringError,
    Equivalent,
    KnownMistake,
    Question,
)
from course_lib.grading.authoring.release import find_solutions, release
from course_lib.grading.authoring.watching import observe
from course_lib.paths import REPOSITORY


def changes(source: str, call: str, **names) -> dict[str, str]:
    """The mutants of some code, watched while ``call`` runs: change → source."""

    def run(watched, more):
        namespace = {"np": np, "torch": torch} | names | more
        exec(watched, namespace)
        eval(call, namespace)

    return {mutant.change: mutant.source for mutant in mutate(source, observe(source, run))}


def after(found: dict[str, str], before: str) -> set[str]:
    """What a statement became."""
    return {
        change.removeprefix(f"{before} → ") for change in found if change.startswith(f"{before} → ")
    }


ARRAYS = "x, y = np.arange(6.0).reshape(2, 3) - 1, np.ones((2, 3))"


@pytest.mark.parametrize(
    "line, wanted",
    [
        ("a < b", {"a <= b", "a > b", "a >= b", "b < b"}),
        ("a == b", {"a != b"}),
        ("a + 2", {"a - 2", "a * 2", "a", "2", "a + 3", "a + 1", "a + -2", "4 + 2", "a + 1 + 2"}),
        ("a / b", {"a * b", "a // b", "b / a", "a", "b"}),
        ("x.sum(axis=1)", {"x.mean(axis=1)", "x.sum(axis=0)", "x.sum(axis=2)", "x.sum()"}),
        ("x.sum(axis=1)", {"x.sum(axis=1, keepdims=True)", "x", "abs(x).sum(axis=1)"}),
        ("x[1:]", {"x[0:]", "x[2:]", "x[:]", "x[1:-1]", "x[1:][1:]"}),
        ("x[:, 0]", {"x[:, 1]", "x[0, :]", "x[1:, 0]", "x[:-1, 0]"}),
        ("x - y", {"y - x", "operator.isub(x, y)", "x - y; then x += 1", "x - y; then y += 1"}),
        ("x * y", {f"x.astype(np.{kind}).astype(float) * y" for kind in ("int8", "float16")}),
        ("np.clip(x, 0, 3)", {"np.clip(0, x, 3)", "np.clip(x, 1, 3)", "x", "np.clip(x, 0, 2)"}),
        ("np.log2(y)", {"np.log(y)", "np.log10(y)", "np.log2(y + 1e-06)", "np.log2(y, out=y)"}),
        ("a if a < b else b", {"a", "b", "b if a < b else a", "a if True else b"}),
        ("x.shape[0]", {"x.shape[1]", "2", "(2, 3)[0]", "x.shape[0] + 1"}),
        ("not a > b and a", {"a > b and a", "not a > b or a"}),
        ("-x.T", {"x.T", "-x"}),
        ("(a, b)", {"(b, a)", "(a,)", "(b,)", "(a, a)"}),
    ],
)
def test_each_construct_is_changed_as_students_get_it_wrong(line, wanted):
    source = f"def answer(a, b, x, y):\n    return {line}"
    call = "answer(4, 7, np.arange(6.0).reshape(2, 3) - 1, np.ones((2, 3)))"
    found = {
        text.removeprefix("return ") for text in after(changes(source, call), f"return {line}")
    }
    found = {text.replace("return ", "") for text in found}
    assert wanted <= found, f"missing: {wanted - found}; of {found}"
    assert line not in found


def test_statements_loops_and_signatures_are_changed_too():
    source = (
        "def total(first, sizes):\n"
        "    count = first\n"
        "    for size in sizes:\n"
        "        if size > 1:\n"
        "            count += size\n"
        "    return count"
    )
    found = changes(source, "total(1, [1, 2, 3])")
    assert "(left out)" in after(found, "count += size")
    assert {"count -= size", "count *= size"} <= after(found, "count += size")
    assert {"if size >= 1:", "if size > 2:", "if True:", "if False:", "(left out)"} <= after(
        found, "if size > 1:"
    )
    assert "for size in list(sizes)[1:]:" in after(found, "for size in sizes:")
    assert "def total(sizes, first):" in after(found, "def total(first, sizes):")
    for mutant in found.values():
        compile(mutant, "mutant", "exec")


def test_a_graph_is_cut_only_where_one_is():
    source = "def answer(x, w):\n    return (x * w).sum()"
    call = "answer(torch.ones(2), torch.ones(2).requires_grad_())"
    found = after(changes(source, call), "return (x * w).sum()")
    cut = {"return (x * w.detach()).sum()", "return (x * w).sum().item()"}
    cut |= {"return (x * w).detach().numpy().sum()"}
    assert cut <= found
    assert "return (x.detach() * w).sum()" not in found


def test_stubs_docstrings_and_imports_are_left_alone():
    source = (
        'import math\n\ndef answer(x):\n    """One, 1."""\n    y = ...\n    y = x\n    return y + 1'
    )
    found = changes(source, "answer(2)")
    assert found
    assert all("One, 1." in text and "y = ..." in text for text in found.values())


def test_the_same_mutant_is_tried_once_and_the_right_answer_never():
    source = "def answer(x):\n    return x + 0 * x"
    found = list(changes(source, "answer(2)").values())
    assert len(found) == len(set(found)) and source not in found


# --------------------------------------------------------------------- judged


def question(draws, **more) -> Question:
    mistakes = (
        KnownMistake("one", lambda *_: 1, "Not one."),
        KnownMistake("none", lambda *_: None, "Return something."),
    )
    return Question("toy", "A toy", 1, "function", mistakes, inputs=tuple(draws), **more)


def tried(source: str, asked: Question):
    def compiled(text, **names):
        namespace = {"np": np} | names
        exec(text, namespace)
        return namespace["answer"]

    return try_question(asked, compiled(source), source, compiled)


def below(edges):
    """Numbers and a limit; with the limit among the numbers if edges count."""

    def draw(rng):
        numbers = rng.integers(0, 100, rng.integers(6, 20))
        limit = int(rng.integers(20, 80))
        numbers[[0, 1, 2, -1]] = (1, limit, 2**15 + 9, limit - 1) if edges else (99, 0, 1, 99)
        return {"numbers": numbers, "limit": limit}

    return draw


COUNT = "def answer(numbers, limit):\n    return int((numbers < limit).sum())"


def test_a_mutant_survives_where_no_input_tells_it_apart_and_dies_where_one_does():
    at_limit = "return int((numbers < limit).sum()) → return int((numbers <= limit).sum())"
    narrow = at_limit.replace("numbers <= limit", "numbers.astype(np.int16) < limit")
    lazy = {mutant.change for mutant in tried(COUNT, question([below(False)] * 2)).survivors}
    thorough = {mutant.change for mutant in tried(COUNT, question([below(True)] * 2)).survivors}
    assert {at_limit, narrow} <= lazy
    assert not thorough


def test_what_is_rejected_in_some_passes_only_is_a_survivor_that_names_the_others(monkeypatch):
    hits = iter([True, False, True, True])  # public, then hidden
    drawn = {}

    def draw(rng):
        key = int(rng.integers(2**40))
        edges = drawn.setdefault(key, next(hits, True))
        return below(edges)(rng)

    found = tried(COUNT, question([draw]))
    [mutant] = [one for one in found.survivors if "numbers <= limit" in one.change]
    assert mutant.passes == ("mutants 1",)


def test_tables_of_public_inputs_and_of_their_sizes_must_fail_on_hidden_cases():
    def same_size(rng):
        return {"numbers": rng.integers(0, 10**5, 7)}

    def same_inputs(_):
        return {"numbers": np.arange(5)}

    source = "def answer(numbers):\n    return int(numbers.sum())"
    by_heart = "(learned by heart) the {} of the public cases".format
    survivors = [mutant.change for mutant in tried(source, question([same_size] * 2)).survivors]
    assert survivors == [by_heart("sizes")]
    survivors = [mutant.change for mutant in tried(source, question([same_inputs])).survivors]
    assert set(survivors) >= {by_heart("inputs"), by_heart("sizes")}
    declared = question([same_size] * 2, fixed_sizes="A week has seven days.")
    assert not tried(source, declared).survivors


def test_a_declared_equivalent_is_one_and_a_stale_declaration_is_a_problem():
    source = "def answer(a, b):\n    return a * b"

    def two(rng):
        return dict(zip("ab", rng.normal(size=2).tolist(), strict=True))

    right = "def answer(a, b): → def answer(b, a):"
    wrong = "return a * b → return a / b"
    gone = "return a * b → return a @ b"
    asked = question([two] * 8, fixed_sizes="Two numbers.")
    assert right in [mutant.change for mutant in tried(source, asked).survivors]
    declared = (Equivalent("Products commute.", (right, wrong, gone)),)
    found = tried(source, question([two] * 8, fixed_sizes="Two.", equivalents=declared))
    assert found.count("equivalent") == 1 and not found.survivors
    assert found.problems == (
        f"declared equivalent, but rejected (wrong): {wrong}",
        f"declared equivalent, but no mutant: {gone}",
    )


def test_an_equivalent_needs_a_reason():
    with pytest.raises(AuthoringError, match="an equivalent has no reason"):
        question([below(True)], equivalents=(Equivalent(" ", ("a → b",)),))


def test_a_mutant_that_never_ends_is_stopped(monkeypatch):
    monkeypatch.setattr(mutants, "SECONDS", 0.05)
    source = (
        "def answer(n):\n"
        "    steps = 0\n"
        "    while n > 0:\n"
        "        n -= 1\n"
        "        steps += 1\n"
        "    return steps"
    )
    found = tried(source, question([lambda rng: {"n": int(rng.integers(3, 99))}] * 2))
    assert found.count("timed out") >= 2
    fates = {mutant.change: mutant.fate for mutant in found.fates}
    assert fates["n -= 1 → (left out)"] == "timed out"
    assert fates["while n > 0: → while True:"] == "timed out"


def test_a_right_answer_that_fails_its_own_cases_is_refused():
    asked = question([below(True)])

    def compiled(text, **names):
        return lambda numbers, limit: -1

    with pytest.raises(AuthoringError, match="toy: its solution fails: got -1"):
        try_question(asked, lambda numbers, limit: 1, COUNT, compiled)


# --------------------------------------------------------------------- the command


def test_the_command_lists_survivors_and_says_that_it_failed(tmp_path, monkeypatch, capsys):
    write_sample(tmp_path, specs=SPECS.replace('fixed_sizes="It is a sample."', 'fixed_sizes=""'))
    monkeypatch.setattr("course_lib.paths.REPOSITORY", tmp_path)
    assert main(["questions", "--mutants", NAME, "--question", "slope"]) == 1
    said = capsys.readouterr()
    assert "slope: survived: (learned by heart) the sizes of the public cases" in said.out
    assert "to settle: let inputs reach" in said.err
    [(name, [row])] = try_mutants(tmp_path, ids=["count"])
    assert (name, row.question) == (NAME, "count") and not row.survivors


def test_a_name_that_is_none_is_refused_with_those_that_are(tmp_path):
    write_sample(tmp_path)
    with pytest.raises(InputError, match="No question slop; expected of: scale, slope, layer"):
        list(try_mutants(tmp_path, ids=["slop"]))
    with pytest.raises(InputError, match="No exercise 99_none; expected one of: 03_sample"):
        list(try_mutants(tmp_path, names=["99_none"]))


# --------------------------------------------------------------------- refused by release


def released(tmp_path, old: str, new: str) -> str:
    assert old in SPECS
    write_sample(tmp_path, specs=SPECS.replace(old, new))
    with pytest.raises(AuthoringError) as refused:
        release(tmp_path)
    return str(refused.value)


def test_release_refuses_sizes_that_no_draw_changes_unless_it_is_told_why(tmp_path):
    said = released(tmp_path, 'inputs=(vector,), fixed_sizes="It is a sample."', "inputs=(vector,)")
    assert "slope: its inputs have the same sizes in every draw (x: float32 tensor (5,))" in said
    said = released(tmp_path, "normal(rng, 5)", "normal(rng, rng.integers(2, 9))")
    assert "slope: sizes are drawn; take its `fixed_sizes` out" in said


def test_release_refuses_tensors_of_tensors_without_gradients_unless_it_is_told_why(tmp_path):
    said = released(tmp_path, 'untrained="It is a sample.", ', "")
    assert "scale: it makes a tensor of tensors, but no gradient is compared" in said
    said = released(tmp_path, "inputs=(vector,)", 'inputs=(vector,), untrained="So."')
    assert "untrained goes with kind function" in said


def test_inputs_that_cannot_be_drawn_are_named(tmp_path):
    said = released(tmp_path, "normal(rng, 5)", "normal(rng, 1 // 0)")
    assert "slope: the inputs of its case 1 cannot be drawn: ZeroDivisionError" in said


def test_a_solution_that_gives_another_result_when_called_again_is_refused(tmp_path):
    kept = "def scale(x, factor, kept=[1]):\n    ### BEGIN SOLUTION: s\n    kept[0] += 1"
    cells = sample_exercise.cells()
    [cell] = [cell for cell in cells if cell.id == "scale"]
    cell.source = f"{kept}\n    return x * kept[0]\n    ### END SOLUTION"
    write_sample(tmp_path, cells)
    with pytest.raises(AuthoringError, match="scale: a second call of its solution gives another"):
        release(tmp_path)


# --------------------------------------------------------------------- the course


@pytest.mark.parametrize("path", find_solutions(REPOSITORY), ids=lambda path: path.stem)
def test_no_mutant_of_the_courses_answers_survives_undeclared(path):
    [(_, rows)] = try_mutants(REPOSITORY, [path.stem])
    assert [(row.question, row.survivors, row.problems) for row in rows if row.survivors] == []
    assert [(row.question, row.problems) for row in rows if row.problems] == []
    assert all(len(row.fates) > 20 for row in rows if row.count("raised") > 2)
