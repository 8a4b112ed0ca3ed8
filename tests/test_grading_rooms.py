"""The rooms of grading lean one way, and what students import stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import course_lib.grading

HERE = Path(course_lib.grading.__file__).parent
LEANS_ON = {  # besides itself
    "asking": set(),
    "authoring": {"asking"},
    "sandbox": {"asking"},
    "classroom": {"asking", "authoring", "sandbox"},
    "reports": {"sandbox", "classroom"},
}
INSIDE = {  # around students' code, and beside it
    "zygote",
    "supervisor",
    "confinement",
    "syscalls",
    "student_process",
    "notebook_shell",
    "wire",
}
OF_THE_COURSE = {  # what each may import besides
    "asking": {"errors", "paths"},
    "authoring": {"errors", "paths", "outputs"},
    "sandbox": {"errors", "paths"},
    "classroom": {"errors", "paths"},
    "reports": {"errors", "paths"},
}


def imports_of(path: Path) -> set[str]:
    """The modules of the course that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("course_lib.") for name in found if name.startswith("course_lib")}


@pytest.mark.parametrize("room", LEANS_ON)
def test_a_room_imports_those_that_it_leans_on_and_no_other(room):
    assert {path.name for path in HERE.iterdir() if (path / "__init__.py").is_file()} == {*LEANS_ON}
    for path in (HERE / room).glob("*.py"):
        for name in imports_of(path):
            top, *rest = name.split(".")
            if top == "grading" and rest:
                assert rest[0] in LEANS_ON[room] | {room}, f"{path.name} imports {name}"
            else:
                assert top in OF_THE_COURSE[room] | {"grading"}, f"{path.name} imports {name}"


def test_what_runs_beside_students_code_imports_as_little_as_it_needs():
    for module in INSIDE:
        for name in imports_of(HERE / "sandbox" / f"{module}.py"):
            place = name.split(".")
            allowed = place[:2] == ["grading", "asking"] or name == "grading"
            allowed |= place[:2] == ["grading", "sandbox"] and place[2] in INSIDE
            assert allowed or place[0] in OF_THE_COURSE["sandbox"], f"{module} imports {name}"


def test_no_two_modules_import_each_other_however_far_round():
    modules = {
        ".".join(("grading", *path.relative_to(HERE).with_suffix("").parts)): imports_of(path)
        for path in HERE.glob("*/*.py")
    }
    needs = {
        name: {
            other for other in modules for found in imports if f"{found}.".startswith(f"{other}.")
        }
        for name, imports in modules.items()
    }
    while ready := {name for name, needed in needs.items() if not needed & {*needs} - {name}}:
        needs = {name: needed for name, needed in needs.items() if name not in ready}
    assert not needs, f"in a circle: {', '.join(needs)}"


def test_check_loads_neither_torch_nor_another_room():
    script = (
        "import sys\nfrom course_lib.grading import check\n"
        "rooms = {name.split('.')[2] for name in sys.modules\n"
        "         if name.startswith('course_lib.grading.')}\n"
        "assert rooms == {'asking'}, rooms\n"
        "assert not {'torch', 'IPython', 'nbformat', 'matplotlib'} & {*sys.modules}"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
