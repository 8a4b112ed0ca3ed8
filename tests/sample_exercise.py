"""A small exercise with one question of each kind, as an instructor would write it."""

import base64
import io
from pathlib import Path

import nbformat
from PIL import Image

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
NAME = "03_sample"

SPECS = """\
import torch
from torch import nn
from course_lib.grading.authoring.mistakes import normal, uniform
from course_lib.grading.authoring.questions import KnownMistake, Question

def batch(rng):
    return {"x": uniform(rng, 4, 3), "factor": 2.5}

def vector(rng):
    return {"x": normal(rng, 5)}

def given(rng):
    weights = {"line.weight": normal(rng, 2, 3), "line.bias": normal(rng, 2)}
    return {"config": {"inputs": 3}, "weights": weights, "x": uniform(rng, 4, 3)}

class NoBias(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.line = nn.Linear(inputs, 2)

    def forward(self, x):
        return x @ self.line.weight.T

class ThreeOutputs(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.line = nn.Linear(inputs, 3)

QUESTIONS = (
    Question(
        id="scale", title="Scale a batch", points=2, kind="function", inputs=(batch, batch),
        untrained="It is a sample.", fixed_sizes="It is a sample.",
        hints=("Look at the units.", "One operation does it.", "It is a product: x * …"),
        mistakes=(
            KnownMistake("divides", lambda x, factor: x / factor, "Multiply, do not divide."),
            KnownMistake("wrong-axes", lambda x, factor: x.T * factor, "Leave the axes alone."),
            KnownMistake("raises", lambda x, factor: x @ x, "* multiplies number by number."),
        ),
    ),
    Question(
        id="slope", title="A sum of squares", points=3, kind="gradient", gradient_of=("x",),
        inputs=(vector,), fixed_sizes="It is a sample.",
        mistakes=(
            KnownMistake("detached", lambda x: x.detach().square().sum(), "Keep the graph."),
            KnownMistake("mean", lambda x: x.square().mean(), "A sum, not a mean."),
        ),
    ),
    Question(
        id="layer", title="A layer", points=4, kind="module", inputs=(given,),
        fixed_sizes="It is a sample.",
        mistakes=(
            KnownMistake("no-bias", NoBias, "Add the bias."),
            KnownMistake("three-outputs", ThreeOutputs, "The layer has two outputs."),
        ),
    ),
    Question(
        id="count", title="A number", points=1, kind="value", decimals=2,
        mistakes=(
            KnownMistake("bytes", 1 / 3, "These are bytes."),
            KnownMistake("squared", 64 / 9, "Do not square."),
        ),
    ),
    Question(
        id="pick", title="A choice", points=1, kind="choice", options="abc",
        mistakes=(KnownMistake("first", "a", "Not a."), KnownMistake("last", "c", "Not c.")),
    ),
    Question(id="why", title="In words", points=5, kind="written"),
)
"""

SCALE = """\
def scale(x, factor):
    ### BEGIN SOLUTION: multiply "x" by factor
    secret = x * factor
    return secret
    ### END SOLUTION"""
SLOPE = """\
def slope(x):
    ### BEGIN SOLUTION: the sum of squares
    return x.square().sum()
    ### END SOLUTION"""
LAYER = """\
class Layer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        ### BEGIN SOLUTION: make self.line
        self.line = nn.Linear(inputs, 2)
        ### END SOLUTION

    def forward(self, x):
        y = ...  # (B, 2)
        ### BEGIN SOLUTION
        y = self.line(x)
        ### END SOLUTION
        return y"""
COUNT = """\
count = ...  # a number
### BEGIN SOLUTION
count = 8 / 3
### END SOLUTION"""
PICK = """\
pick = ...  # "a", "b" or "c"
### BEGIN SOLUTION
pick = "b"
### END SOLUTION"""
WHY = """\
<!-- ### BEGIN SOLUTION -->
Because of the secret.
<!-- ### END SOLUTION -->"""


def answer(question: str, source: str):
    return _code(question, source, grade=False, solution=True, locked=False)


def check(question: str, name: str, points: int):
    marks = {"grade": True, "solution": False, "locked": True, "points": points}
    return _code(f"check-{question}", f'check("{question}", {name})', **marks)


def cells() -> list:
    given = "import torch\nfrom torch import nn\nfrom course_lib.grading import check"
    shown = _code("shown", "print(scale(torch.ones(2), 3))")
    shown.metadata = {"tags": ["expected-picture"]}
    shown.outputs = [picture()]
    written = nbformat.v4.new_markdown_cell(WHY, id="why")
    written.metadata = {
        "nbgrader": _marks("why", grade=True, solution=True, locked=False, points=5)
    }
    return [
        nbformat.v4.new_markdown_cell("# Exercise 3: A sample\n\nText.", id="title"),
        _code("given", given, grade=False, solution=False, locked=True),
        answer("scale", SCALE),
        check("scale", "scale", 2),
        shown,
        answer("slope", SLOPE),
        check("slope", "slope", 3),
        answer("layer", LAYER),
        check("layer", "Layer", 4),
        answer("count", COUNT),
        check("count", "count", 1),
        answer("pick", PICK),
        check("pick", "pick", 1),
        written,
    ]


def picture(color: str = "red"):
    """What plots.show leaves in a notebook."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), color).save(buffer, "PNG")
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    shown = {"image/png": {"width": 2, "alt": 'A "red" square.'}}
    return nbformat.v4.new_output("display_data", data, metadata=shown)


def write_sample(repository: Path, sample_cells: list | None = None, specs: str = SPECS) -> Path:
    """Put the sample into ``repository``; returns the notebook's path."""
    path = repository / "solutions" / f"{NAME}.ipynb"
    (path.parent / "questions").mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=cells() if sample_cells is None else sample_cells)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    (path.parent / "questions" / f"{NAME}.py").write_text(specs, encoding="utf-8")
    return path


def _code(cell_id: str, source: str, **marks):
    metadata = {"nbgrader": _marks(cell_id, **marks)} if marks else {}
    return nbformat.v4.new_code_cell(source, id=cell_id, metadata=metadata)


def _marks(grade_id: str, **marks) -> dict:
    return {"schema_version": 3, "task": False, "grade_id": grade_id, **marks}
