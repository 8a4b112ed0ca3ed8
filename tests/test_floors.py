"""The house stands: a module imports from its own floor and those below, and never in a circle."""

import ast
import importlib.util
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from course_lib.paths import REPOSITORY

# From the ground up. A package's name stands for all of its modules.
FLOORS = (
    ("errors", "paths", "ranges", "locks", "device", "distributed", "weights", "outputs"),
    ("pictures", "images", "crops", "metrics", "losses", "layers", "quantization"),
    ("coding", "tiling"),
    ("models", "pca_start", "joint", "coder", "classic", "codestreams"),
    ("codecs", "__init__"),  # `import course_lib` offers what codecs has
    ("optimizers", "players", "runs", "training", "recipes", "results", "evaluation", "info"),
    ("plots", "widgets", "self_tests", "lecture", "notebooks", "notebook_checks", "contents"),
    ("cli",),
)
# What stands apart, and all that it leans on. Only the roof leans on it.
APART = {"grading": ("errors", "paths", "outputs")}


def read_imports(package: Path) -> dict[str, dict[str, int]]:
    """Module → the package's modules that it imports, wherever in its text, and in which line."""
    files = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join((package.name, *path.relative_to(package).with_suffix("").parts))
        files[name.removesuffix(".__init__")] = path
    imports = {}
    for name, path in files.items():
        within = name if path.stem == "__init__" else name.rpartition(".")[0]
        found = {}
        for line, target in _imported(ast.parse(path.read_text(encoding="utf-8")), within):
            known = target if target in files else target.rpartition(".")[0]  # a name in a module
            if known in files:
                found.setdefault(known, line)
        imports[name] = found
    return imports


def _imported(tree: ast.Module, within: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), within)
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def place(module: str) -> str:
    """The name by which `FLOORS` and `APART` know a module."""
    return f"{module}.__init__".split(".")[1]


def without_a_place(imports: dict[str, dict[str, int]]) -> list[str]:
    """Where the modules and the table differ, and what to do about it."""
    places = {place(module) for module in imports}
    table = {name for floor in FLOORS for name in floor} | set(APART)
    return [
        f"{name} stands on no floor. Write it into FLOORS of tests/test_floors.py, on the lowest "
        "floor that has all that it imports on it or below."
        for name in sorted(places - table)
    ] + [
        f"{name} stands in tests/test_floors.py, but there is no such module. Take it out."
        for name in sorted(table - places)
    ]


def upward_imports(imports: dict[str, dict[str, int]]) -> list[str]:
    """Imports that the house does not allow, each as a sentence."""
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    problems = []
    for module, found in imports.items():
        here = place(module)
        for target, line in found.items():
            there = place(target)
            if here == there:
                continue
            if here in APART:
                is_allowed, where = there in APART[here], f"leans on {', '.join(APART[here])} alone"
            elif there in APART:
                is_allowed, where = here in FLOORS[-1], "is not of the roof"
            else:
                is_allowed = floor_of[there] <= floor_of[here]
                where = f"stands on floor {floor_of[here]}, below floor {floor_of[there]}"
            if not is_allowed:
                problems.append(f"{module}, line {line}, imports {target}, but {here} {where}.")
    return problems


def circle(imports: dict[str, dict[str, int]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; or none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


# ------------------------------------------------------------------------------ the house


@pytest.fixture(scope="module")
def house() -> dict[str, dict[str, int]]:
    return read_imports(REPOSITORY / "course_lib")


def test_every_module_has_a_place_and_every_place_a_module(house):
    assert without_a_place(house) == []


def test_no_module_imports_from_a_floor_above_its_own(house):
    assert upward_imports(house) == []


def test_no_modules_import_each_other_in_a_circle(house):
    assert circle(house) == []


# ------------------------------------------------------------------------------ the inspectors


def build(folder: Path, texts: dict[str, str]) -> dict[str, dict[str, int]]:
    """The imports of a small course_lib, given the text of each module: "models/balle2017"."""
    for name, text in texts.items():
        path = folder / "course_lib" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in (folder / "course_lib", *(folder / "course_lib").iterdir()):
        if path.is_dir():
            (path / "__init__.py").touch()
    return read_imports(folder / "course_lib")


@pytest.mark.parametrize(
    "text",
    [
        "from course_lib import codecs",
        "from course_lib.codecs import load_codec",
        "import course_lib.codecs as c",
        "from . import codecs",
        "def f():\n    from .codecs import load_codec",
        "class A:\n    def f(self):\n        if True:\n            import course_lib.codecs",
    ],
)
def test_an_import_from_above_is_found_wherever_and_however_it_is_written(tmp_path, text):
    imports = build(tmp_path, {"images": text, "codecs": "import numpy, course_lib.images"})
    line = text.count("\n") + 1
    assert upward_imports(imports) == [
        f"course_lib.images, line {line}, imports course_lib.codecs, but images stands on floor 1, "
        "below floor 4."
    ]


def test_a_package_stands_on_one_floor_with_all_its_modules(tmp_path):
    texts = {
        "coding/tables": "from . import prior\nfrom ..images import read_image",
        "coding/prior": "def f():\n    from course_lib.models import balle2017",
        "models/balle2017": "from course_lib.coding import tables",
        "images": "",
    }
    (problem,) = upward_imports(build(tmp_path, texts))
    assert problem.startswith("course_lib.coding.prior, line 2, imports course_lib.models.balle")


def test_what_stands_apart_leans_on_little_and_carries_the_roof_alone(tmp_path):
    texts = {
        "errors": "",
        "images": "",
        "grading/check": "from course_lib import errors, images",
        "cli/grading": "from course_lib.grading import check",
        "widgets": "import course_lib.grading.check",
        "lecture": "import course_lib.cli",
    }
    problems = upward_imports(build(tmp_path, texts))
    assert [problem.split(",")[0] for problem in problems] == [
        "course_lib.grading.check",
        "course_lib.lecture",
        "course_lib.widgets",
    ]
    assert problems[0].endswith(f"but grading leans on {', '.join(APART['grading'])} alone.")


def test_a_circle_is_found_within_a_floor(tmp_path):
    texts = {
        "images": "from course_lib import metrics",
        "metrics": "def f():\n    from course_lib.layers import GDN",
        "layers": "from course_lib.images import read_image",
    }
    imports = build(tmp_path, texts)
    assert not upward_imports(imports)
    first, *_, last = circle(imports)
    assert first == last and set(circle(imports)) == {f"course_lib.{name}" for name in texts}


def test_a_module_without_a_place_is_named_with_what_to_do(tmp_path):
    first, *others = without_a_place(build(tmp_path, {"wavelets": ""}))
    assert first.startswith("wavelets stands on no floor. Write it into FLOORS")
    assert any(other.startswith("images stands in tests/test_floors.py, but") for other in others)
