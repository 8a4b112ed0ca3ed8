"""Honest notebooks in all the shapes that students give them: what works in Jupyter from top to
bottom earns its points.

``python tests/test_grading_honest.py`` prints the table.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from sample_exercise import COUNT, LAYER, PICK, SCALE, SLOPE, cells, write_sample

from course_lib.grading.classroom.exercise_files import find_exercise_files, load_key
from course_lib.grading.classroom.grader import Grader
from course_lib.grading.classroom.results import Graded
from course_lib.grading.sandbox.sessions import Limits

ALL = {"scale": 2, "slope": 3, "layer": 4, "count": 1, "pick": 1}
WRONG = "def scale(x, factor):\n    return x\n"
RIGHT = "def scale(x, factor):\n    return x * factor\n"
CHECK = 'check("scale", scale)'
NUMBERS = "table = {'values': 8, 'patches': 3}\nprint(table)"
TRAINED = "weights = [0]\nfor step in range(8):\n    weights.append(step)\nprint(len(weights))"


def code(source: str, **more):
    return nbformat.v4.new_code_cell(source, **more)


def text(source: str):
    return nbformat.v4.new_markdown_cell(source)


class Handed:
    """A solved notebook, to be changed as students do."""

    def __init__(self, content: str):
        self.notebook = nbformat.reads(content, as_version=4)

    @property
    def cells(self) -> list:
        return self.notebook.cells

    def at(self, name: str) -> int:
        return next(
            index
            for index, cell in enumerate(self.cells)
            if name in (cell.metadata.get("nbgrader", {}).get("grade_id"), cell.id)
        )

    def set(self, name: str, source: str, **more) -> "Handed":
        self.cells[self.at(name)].source = source
        self.cells[self.at(name)].update(more)
        return self

    def before(self, name: str, *new) -> "Handed":
        at = self.at(name)
        self.cells[at:at] = [code(one) if isinstance(one, str) else one for one in new]
        return self

    def after(self, name: str, *new) -> "Handed":
        at = self.at(name) + 1
        self.cells[at:at] = [code(one) if isinstance(one, str) else one for one in new]
        return self

    def end(self, *new) -> "Handed":
        self.cells.extend(code(one) if isinstance(one, str) else one for one in new)
        return self

    def drop(self, *names: str) -> "Handed":
        for name in names:
            del self.cells[self.at(name)]
        return self

    def copy_of(self, name: str, source: str):
        """A copied cell, with the metadata of the one that it was copied from."""
        copied = copy.deepcopy(self.cells[self.at(name)])
        copied.source, copied.id = source, f"copy{len(self.cells)}"
        return copied


@dataclass(frozen=True)
class Case:
    """What a student did, and what it must earn."""

    kind: str
    name: str
    change: Callable[[Handed], object]
    lost: tuple[str, ...] = ()  # questions that are wrong in Jupyter too


def _split_layer(nb: Handed) -> None:
    head, body = "class Base(nn.Module):\n    pass\n", LAYER.replace("nn.Module", "Base")
    nb.set("layer", head).after("layer", body)


def _without_ids(nb: Handed) -> None:
    for cell in nb.cells:
        cell.metadata = {}
        cell.id = f"x{nb.cells.index(cell)}"


def _reorder(nb: Handed) -> None:
    moved = nb.cells.pop(nb.at("scale"))
    nb.cells.insert(nb.at("check-pick"), moved)


def _reverse(nb: Handed) -> None:
    given = nb.cells[: nb.at("given") + 1]
    nb.cells[:] = given + nb.cells[len(given) :][::-1]


def _move_all_down(nb: Handed) -> None:
    names = ("scale", "slope", "layer", "count", "pick")
    moved = [nb.copy_of(name, nb.cells[nb.at(name)].source) for name in names]
    nb.drop(*names)
    nb.end(*(code(cell.source) for cell in moved), *(_check(name) for name in names))


def _check(name: str) -> str:
    return f'check("{name}", {"Layer" if name == "layer" else name})'


def case(kind: str, **changes) -> list[Case]:
    return [Case(kind, name.replace("_", " "), change) for name, change in changes.items()]


CASES = [
    *case(
        "given cells",
        import_added=lambda nb: nb.set(
            "given", "import math\n" + nb.cells[nb.at("given")].source
        ).set("count", "count = math.floor(8) / 3"),
        only_own_imports_left=lambda nb: nb.set("given", "import math, torch").set(
            "count", "count = math.sqrt(64) / 3"
        ),
        helper_added=lambda nb: nb.set(
            "given",
            nb.cells[nb.at("given")].source + "\ndef times(a, b):\n    return a * b",
        ).set("scale", "def scale(x, factor):\n    return times(x, factor)"),
        missing_package=lambda nb: nb.set("given", "import seaborn_that_is_not_here\nimport torch"),
        renamed_import=lambda nb: nb.set(
            "given", "import torch as T\nfrom torch import nn\nfrom course_lib.grading import check"
        ).set("slope", "def slope(x):\n    return T.sum(x ** 2)"),
        deleted=lambda nb: nb.drop("given"),
        emptied=lambda nb: nb.set("given", ""),
        twice=lambda nb: nb.after("scale", nb.copy_of("given", nb.cells[nb.at("given")].source)),
        copy_changed=lambda nb: nb.before(
            "count", nb.copy_of("given", "import math\nimport torch")
        ).set("count", "count = math.floor(8) / 3"),
        imports_in_an_own_cell=lambda nb: nb.before("given", "import math as m").set(
            "count", "count = m.floor(8) / 3"
        ),
        torch_is_shadowed=lambda nb: nb.set("given", "torch = None"),
    ),
    *case(
        "cells to be looked at",
        numbers_only_shown=lambda nb: nb.set("count", "count = table['values'] / table['patches']"),
        numbers_in_a_function=lambda nb: nb.set(
            "count", "def ratio():\n    return table['values'] / table['patches']\ncount = ratio()"
        ),
        numbers_by_a_loop=lambda nb: nb.set("count", "count = (len(weights) - 1) / 3"),
        numbers_by_globals=lambda nb: nb.set("count", "count = globals()['table']['values'] / 3"),
        numbers_by_out=lambda nb: nb.before("count", "table['values']").set(
            "count", "count = _ / 3"
        ),
        numbers_by_eval=lambda nb: nb.set("count", "count = eval('table')['values'] / 3"),
        changed=lambda nb: nb.set("numbers", NUMBERS + "\nthird = 3").set(
            "count", "count = table['values'] / third"
        ),
        turned_to_a_function=lambda nb: nb.set(
            "numbers", f"def numbers():\n    {NUMBERS.splitlines()[0]}\n    return table"
        ).set("count", "count = numbers()['values'] / 3"),
        answer_in_it=lambda nb: nb.set("numbers", NUMBERS + "\ncount = 8 / 3").drop("count"),
    ),
    *case(
        "checks",
        function_in_the_check_cell=lambda nb: nb.set("scale", "").set("check-scale", RIGHT + CHECK),
        function_over_the_stub=lambda nb: nb.set(
            "scale", "def scale(x, factor):\n    raise NotImplementedError('x')"
        ).set("check-scale", RIGHT + CHECK),
        class_in_the_check_cell=lambda nb: nb.set("layer", "").set(
            "check-layer", LAYER + '\ncheck("layer", Layer)'
        ),
        value_in_the_check_cell=lambda nb: nb.set("count", "count = ...").set(
            "check-count", 'count = 8 / 3\ncheck("count", count)'
        ),
        value_in_the_call=lambda nb: nb.set("count", "count = ...").set(
            "check-count", 'check("count", 8 / 3)'
        ),
        choice_in_the_call=lambda nb: nb.set("pick", "pick = ...").set(
            "check-pick", 'check("pick", "b")'
        ),
        another_name=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", 'check("scale", mine)'
        ),
        another_name_in_a_new_cell=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).after(
            "scale", 'print(1)\ncheck("scale", mine)'
        ),
        by_the_module=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", 'import course_lib.grading as g\ng.check("scale", mine)'
        ),
        renamed=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale",
            'from course_lib.grading import check as verify\nverify("scale", mine)',
        ),
        from_its_own_module=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale",
            'from course_lib.grading.asking.check import check\ncheck("scale", mine)',
        ),
        by_keyword=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", 'check(question_id="scale", answer=mine)'
        ),
        in_try=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale",
            'try:\n    check("scale", mine)\nexcept Exception as error:\n    print(error)',
        ),
        in_a_loop=lambda nb: nb.drop("check-scale", "check-slope").end(
            'for name, answer in {"scale": scale, "slope": slope}.items():\n    check(name, answer)'
        ),
        in_a_loop_with_other_names=lambda nb: (
            nb.set("scale", RIGHT.replace("scale", "mine"))
            .drop("check-scale")
            .end('for name, answer in [("scale", mine)]:\n    check(name, answer)')
        ),
        in_a_function=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", 'def main():\n    check("scale", mine)\nmain()'
        ),
        suppressed=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale",
            'from contextlib import suppress\nwith suppress(Exception):\n    check("scale", mine)',
        ),
        from_the_package=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", 'from course_lib import grading\ngrading.check("scale", mine)'
        ),
        from_everything=lambda nb: (
            nb.set("scale", RIGHT.replace("scale", "mine"))
            .set("given", "from course_lib.grading import *")
            .set("check-scale", 'assert check("scale", mine) is None')
        ),
        timed_in_a_line=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", '%time check("scale", mine)'
        ),
        by_unpacking=lambda nb: nb.set("scale", RIGHT.replace("scale", "mine")).set(
            "check-scale", 'check(*("scale", mine))'
        ),
        with_code_below=lambda nb: nb.set("check-scale", CHECK + "\nscale = None"),
        partial=lambda nb: nb.set(
            "check-scale",
            'from functools import partial\ncheck("scale", partial(lambda a, b, c: b * c, 1))',
        ),
        all_deleted=lambda nb: nb.drop(*(f"check-{name}" for name in ALL)),
        commented_out=lambda nb: nb.set("check-scale", '# check("scale", scale)'),
        misspelt=lambda nb: nb.set("check-scale", 'check("scale", scal)'),
        syntax_error=lambda nb: nb.set("check-scale", 'check("scale", scale'),
        another_question=lambda nb: nb.set("check-scale", 'check("slope", slope)'),
        lambda_in_the_call=lambda nb: nb.set("scale", "").set(
            "check-scale", 'check("scale", lambda x, factor: x * factor)'
        ),
        above_the_answer=lambda nb: nb.cells.insert(2, nb.cells.pop(nb.at("check-scale"))),
        all_above=lambda nb: nb.cells.sort(key=lambda cell: not cell.source.startswith("check(")),
        timed=lambda nb: nb.set("check-scale", "%%time\n" + CHECK),
        with_a_note=lambda nb: nb.set("check-scale", "# it works!\n" + CHECK + "  # yes"),
        answer_of_another_in_it=lambda nb: nb.set("slope", "").set(
            "check-scale", SLOPE + "\n" + CHECK
        ),
    ),
    *case(
        "several attempts",
        wrong_above_right=lambda nb: nb.before("scale", WRONG),
        wrong_above_right_as_copies=lambda nb: nb.before("scale", nb.copy_of("scale", WRONG)),
        wrong_checked_then_right=lambda nb: nb.set("scale", WRONG).after("check-scale", RIGHT),
        wrong_checked_then_right_checked=lambda nb: nb.set("scale", WRONG).after(
            "check-scale", RIGHT, CHECK
        ),
        wrong_checked_then_right_as_copies=lambda nb: nb.set("scale", WRONG).after(
            "check-scale", nb.copy_of("scale", RIGHT), nb.copy_of("check-scale", CHECK)
        ),
        wrong_raises_then_right=lambda nb: nb.set(
            "scale", "def scale(x, factor):\n    return x @ x"
        ).after("check-scale", RIGHT, CHECK),
        wrong_twice_in_one_cell=lambda nb: nb.set("scale", WRONG + RIGHT),
        right_then_wrong_scratch=lambda nb: nb.end(WRONG),
        right_then_wrong_right_below=lambda nb: nb.after("check-scale", WRONG),
        right_then_wrong_checked=lambda nb: nb.end(WRONG, CHECK),
        right_then_deleted=lambda nb: nb.after("check-scale", "del scale"),
        right_then_overwritten_by_a_number=lambda nb: nb.after("check-count", "count = 5"),
        choice_wrong_checked_then_right_checked=lambda nb: nb.set("pick", "pick = 'a'").after(
            "check-pick", "pick = 'b'", 'check("pick", pick)'
        ),
        choice_wrong_above_right=lambda nb: nb.before("pick", "pick = 'a'"),
        choice_stub_then_answer_below=lambda nb: nb.set("pick", "pick = ...").end("pick = 'b'"),
        number_wrong_checked_then_right_checked=lambda nb: nb.set("count", "count = 5").after(
            "check-count", nb.copy_of("count", "count = 8 / 3"), 'check("count", count)'
        ),
        class_wrong_then_right=lambda nb: nb.set(
            "layer", "class Layer(nn.Module):\n    pass"
        ).after("check-layer", LAYER, 'check("layer", Layer)'),
        helper_below_its_use=lambda nb: nb.set(
            "scale", "def scale(x, factor):\n    return times(x, factor)"
        ).after("check-scale", "def times(a, b):\n    return a * b", CHECK),
        helper_below_without_a_check=lambda nb: nb.set(
            "scale", "def scale(x, factor):\n    return times(x, factor)"
        ).after("check-scale", "def times(a, b):\n    return a * b"),
        helper_mended_below=lambda nb: nb.set(
            "scale",
            "def times(a, b):\n    return a\ndef scale(x, factor):\n    return times(x, factor)",
        ).end("def times(a, b):\n    return a * b"),
    ),
    *case(
        "answers elsewhere",
        helper_above=lambda nb: nb.before("scale", "def times(a, b):\n    return a * b").set(
            "scale", "def scale(x, factor):\n    return times(x, factor)"
        ),
        split_in_two=_split_layer,
        all_in_one_cell_at_the_top=lambda nb: (
            nb.set("scale", "").set("slope", "").set("layer", "").set("count", "").set("pick", ""),
            nb.after("given", "\n\n".join([SCALE, SLOPE, LAYER, COUNT, PICK])),
        ),
        all_below=_move_all_down,
        in_another_answers_cell=lambda nb: nb.set("slope", "").set("scale", SCALE + "\n" + SLOPE),
        swapped=lambda nb: nb.set("scale", SLOPE).set("slope", SCALE),
        moved_down=_reorder,
        all_reversed=_reverse,
        answer_cells_deleted=lambda nb: nb.drop("scale").after("given", RIGHT),
        copied_cell_reused=lambda nb: nb.drop("slope").after("scale", nb.copy_of("scale", SLOPE)),
        as_markdown=lambda nb: nb.set("scale", RIGHT, cell_type="markdown"),
        as_raw=lambda nb: nb.set("scale", RIGHT, cell_type="raw"),
        written_cell_as_code=lambda nb: (
            nb.set("why", "helper = 8", cell_type="code").drop("count").end("count = helper / 3")
        ),
        as_lambda=lambda nb: nb.set("scale", "scale = lambda x, factor: x * factor"),
        as_method=lambda nb: nb.set(
            "scale",
            "class Mine:\n    def scale(self, x, factor):\n        return x * factor\n"
            "scale = Mine().scale",
        ),
        by_setattr=lambda nb: nb.set("scale", f"exec({RIGHT!r})"),
        by_globals=lambda nb: nb.set("pick", "globals()['pick'] = 'b'"),
        by_import=lambda nb: nb.set("scale", "from operator import mul as scale"),
        by_tuple=lambda nb: nb.set("pick", "").set("count", "count, pick = 8 / 3, 'b'"),
        by_walrus=lambda nb: nb.set("count", "print(count := 8 / 3)"),
        in_an_if=lambda nb: nb.set("pick", "if True:\n    pick = 'b'"),
        with_type_hints=lambda nb: nb.set(
            "scale",
            "def scale(x: torch.Tensor, factor: float) -> torch.Tensor:\n    return x * factor",
        ),
        with_future_annotations=lambda nb: nb.before(
            "scale", "from __future__ import annotations"
        ).set("scale", "def scale(x: Tenso, factor):\n    return x * factor"),
        by_super_class_above=lambda nb: nb.before(
            "layer", "class Base(nn.Module):\n    def helper(self, y):\n        return self.line(y)"
        ).set(
            "layer",
            "class Layer(Base):\n    def __init__(self, inputs):\n        super().__init__()\n"
            "        self.line = nn.Linear(inputs, 2)\n"
            "    def forward(self, x):\n        return self.helper(x)",
        ),
    ),
    *case(
        "Jupyter's own words",
        matplotlib_inline=lambda nb: nb.set("scale", "%matplotlib inline\n" + RIGHT),
        matplotlib_widget=lambda nb: nb.set("scale", "%matplotlib widget\n" + RIGHT),
        matplotlib_qt=lambda nb: nb.set("given", "%matplotlib qt\nimport torch"),
        config_inline=lambda nb: nb.set(
            "scale", "%config InlineBackend.figure_format = 'retina'\n" + RIGHT
        ),
        pylab=lambda nb: nb.set("scale", "%pylab inline\n" + RIGHT),
        pylab_names=lambda nb: nb.set("count", "%pylab inline\ncount = float(array([8])[0]) / 3"),
        precision=lambda nb: nb.set("scale", "%precision 3\n" + RIGHT),
        exception_mode=lambda nb: nb.set("given", "%xmode Verbose\n%colors nocolor\nimport torch"),
        history=lambda nb: nb.after("scale", "%history\n%hist -n 1"),
        logging_to_a_file=lambda nb: nb.before("scale", "%logstart log.py"),
        automagic=lambda nb: nb.after("scale", "ls").after("scale", "pwd"),
        alias=lambda nb: nb.before("scale", "%alias show echo"),
        skipped_by_a_script=lambda nb: nb.after("check-scale", "%%script false\n" + WRONG, CHECK),
        python_in_a_process=lambda nb: nb.after("scale", "%%python3\nprint(1)"),
        module_edited_under_autoreload=lambda nb: nb.set(
            "scale", "%%writefile mine.py\n" + WRONG
        ).after(
            "scale",
            "%load_ext autoreload\n%autoreload 2\nimport mine",
            "%%writefile mine.py\n# another line\n" + RIGHT,
            "import time, os; os.utime('mine.py', (2e9, 2e9))",
            "scale = lambda x, factor: mine.scale(x, factor)",
        ),
        time_cell=lambda nb: nb.set("scale", "%%time\n" + RIGHT),
        time_line=lambda nb: nb.set("count", "%time count = 8 / 3"),
        time_value=lambda nb: nb.set("count", "count = %time 8 / 3"),
        timeit_line=lambda nb: nb.set("scale", RIGHT + "%timeit scale(torch.ones(3), 2)"),
        timeit_result=lambda nb: nb.set(
            "scale", RIGHT + "t = %timeit -o scale(torch.ones(3), 2)\nassert t.average >= 0"
        ),
        timeit_cell=lambda nb: nb.after("scale", "%%timeit\nscale(torch.ones(3), 2)"),
        timeit_with_setup=lambda nb: nb.after("scale", "%%timeit x = torch.ones(3)\nscale(x, 2)"),
        capture=lambda nb: nb.set("scale", "%%capture out\n" + RIGHT + "print('hello')").after(
            "scale", "assert 'hello' in out.stdout"
        ),
        prun=lambda nb: nb.set("scale", RIGHT + "%prun -q scale(torch.ones(3), 2)"),
        pip=lambda nb: nb.set("scale", "!pip install einops\n" + RIGHT),
        pip_magic=lambda nb: nb.set("scale", "%pip install -q einops\n" + RIGHT),
        pip_by_python=lambda nb: nb.set(
            "scale", "import sys\n!{sys.executable} -m pip install einops\n" + RIGHT
        ),
        conda=lambda nb: nb.set("scale", "%conda install -y numpy\n" + RIGHT),
        apt=lambda nb: nb.set("scale", "!apt-get -qq install tree\n" + RIGHT),
        shell_value=lambda nb: nb.set("count", "n = !echo 8\ncount = int(n[0]) / 3"),
        shell_file=lambda nb: nb.set(
            "count", "!echo 8 > number.txt\ncount = int(open('number.txt').read()) / 3"
        ),
        shell_with_braces=lambda nb: nb.set(
            "count", "eight = 8\nn = !echo {eight}\ncount = int(n[0]) / 3"
        ),
        bash_cell=lambda nb: nb.before("count", "%%bash\necho 8 > eight.txt").set(
            "count", "count = int(open('eight.txt').read()) / 3"
        ),
        html_cell=lambda nb: nb.after("scale", "%%html\n<b>bold</b>"),
        javascript_cell=lambda nb: nb.after("scale", "%%javascript\nalert(1)"),
        unknown_magic=lambda nb: nb.set("scale", "%sql SELECT 1\n" + RIGHT),
        unknown_extension=lambda nb: nb.set("scale", "%load_ext tensorboard_not_here\n" + RIGHT),
        autoreload=lambda nb: nb.set("given", "%load_ext autoreload\n%autoreload 2\nimport torch"),
        question_mark=lambda nb: nb.set("scale", RIGHT + "scale?"),
        two_question_marks=lambda nb: nb.set("scale", RIGHT + "\n??torch.sum\n"),
        writefile=lambda nb: nb.set("scale", "%%writefile mine.py\n" + RIGHT).after(
            "scale", "from mine import scale"
        ),
        writefile_in_one_star=lambda nb: nb.set("scale", "%%writefile mine.py\n" + RIGHT).after(
            "scale", "from mine import *"
        ),
        writefile_appended=lambda nb: nb.set("scale", "%%writefile mine.py\nimport torch\n").after(
            "scale", "%%writefile -a mine.py\n" + RIGHT, "import mine\nscale = mine.scale"
        ),
        file_magic=lambda nb: nb.set("scale", "%%file mine.py\n" + RIGHT).after(
            "scale", "from mine import scale"
        ),
        run_a_script=lambda nb: nb.set("scale", "%%writefile mine.py\n" + RIGHT).after(
            "scale", "%run mine.py"
        ),
        run_interactively=lambda nb: nb.set("scale", "%%writefile mine.py\n" + RIGHT).after(
            "scale", "%run -i mine.py"
        ),
        importlib_reload=lambda nb: nb.set("scale", "%%writefile mine.py\n" + WRONG).after(
            "scale",
            "import mine",
            "%%writefile mine.py\n" + RIGHT + "# longer",
            "import importlib\nimportlib.reload(mine)\nscale = mine.scale",
        ),
        cd_and_back=lambda nb: nb.set(
            "count",
            "!mkdir -p sub\n%cd sub\nopen('n', 'w').write('8')\n%cd ..\n"
            "count = int(open('sub/n').read()) / 3",
        ),
        env=lambda nb: nb.set(
            "count", "import os\n%env EIGHT=8\ncount = int(os.environ['EIGHT']) / 3"
        ),
        reset=lambda nb: nb.before("given", "x = 1\n%reset -f"),
        who=lambda nb: nb.set("scale", RIGHT + "%whos\n%who_ls"),
        get_ipython=lambda nb: nb.set(
            "scale",
            "from IPython import get_ipython\n"
            'get_ipython().run_line_magic("matplotlib", "inline")\n' + RIGHT,
        ),
        get_ipython_by_its_module=lambda nb: nb.set(
            "scale", "import IPython\nshell = IPython.get_ipython()\nshell.magic = 1\n" + RIGHT
        ),
        get_ipython_in_a_function=lambda nb: nb.set(
            "scale",
            "def scale(x, factor):\n    assert 'IPKernel' not in str(get_ipython().config)\n"
            "    return x * factor",
        ),
        user_ns=lambda nb: nb.set("count", "get_ipython().user_ns['count'] = 8 / 3"),
        in_jupyter=lambda nb: nb.set(
            "scale",
            "try:\n    get_ipython()\n    here = True\nexcept NameError:\n    here = False\n"
            "if here:\n    def scale(x, factor):\n        return x * factor",
        ),
        underscore=lambda nb: nb.before("count", "8 / 3").set("count", "count = _"),
        out=lambda nb: nb.before("count", "8 / 3").set("count", "count = list(Out.values())[-1]"),
        numbered_out=lambda nb: nb.before("given", "8 / 3").set("count", "count = _1"),
        in_list=lambda nb: nb.before("given", "8 / 3").set("count", "count = eval(In[1])"),
        await_at_the_top=lambda nb: nb.set(
            "count", "import asyncio\nasync def f():\n    return 8 / 3\ncount = await f()"
        ),
        await_gather=lambda nb: nb.set(
            "count",
            "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\n"
            "a, b = await asyncio.gather(f(8), f(3))\ncount = a / b",
        ),
        task_of_the_running_loop=lambda nb: nb.set(
            "count",
            "import asyncio\nasync def f():\n    return 8 / 3\ntask = asyncio.create_task(f())",
        ).after("count", "count = await task"),
        async_for=lambda nb: nb.set(
            "count",
            "async def g():\n    for n in range(9):\n        yield n\n"
            "async for n in g():\n    last = n\ncount = last / 3",
        ),
        name_is_main=lambda nb: nb.set("pick", "if __name__ == '__main__':\n    pick = 'b'"),
        import_main=lambda nb: nb.set("count", "import __main__\n__main__.count = 8 / 3"),
        exit_below=lambda nb: nb.after("check-scale", "exit()"),
        quit_above=lambda nb: nb.before("scale", "quit"),
        sys_exit=lambda nb: nb.after("check-scale", "import sys\nsys.exit(0)"),
        raise_system_exit=lambda nb: nb.after("scale", "raise SystemExit('Stop right there!')"),
        semicolon=lambda nb: nb.set("scale", RIGHT + "scale(torch.ones(3), 2);"),
        comment_only=lambda nb: nb.after("scale", "# nothing here"),
        source_of_a_function=lambda nb: nb.set(
            "scale", RIGHT + "import inspect\nassert 'factor' in inspect.getsource(scale)"
        ),
        pickle_of_a_class=lambda nb: nb.after(
            "layer", "import pickle\npickle.loads(pickle.dumps(Layer(3)))(torch.ones(1, 3))"
        ),
    ),
    *case(
        "pictures and widgets",
        display=lambda nb: nb.set("scale", RIGHT + "display(scale(torch.ones(3), 2))"),
        ipython_display=lambda nb: nb.set(
            "scale",
            "from IPython.display import HTML, Image, Markdown, clear_output, display\n"
            "display(HTML('<b>x</b>'), Markdown('*x*'))\nclear_output()\n" + RIGHT,
        ),
        display_handle=lambda nb: nb.set(
            "scale", "h = display('a', display_id=True)\nh.update('b')\n" + RIGHT
        ),
        plots=lambda nb: nb.set(
            "scale",
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n" + RIGHT,
        ),
        figure_as_result=lambda nb: nb.set(
            "scale",
            RIGHT + "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\nfigure",
        ),
        saved_figure=lambda nb: nb.set(
            "scale",
            "import matplotlib.pyplot as plt\nplt.plot([1]); plt.savefig('a.png')\n"
            "assert len(open('a.png', 'rb').read())\n" + RIGHT,
        ),
        set_backend=lambda nb: nb.set(
            "scale", "import matplotlib\nmatplotlib.use('agg')\n" + RIGHT
        ),
        tqdm_notebook=lambda nb: nb.set(
            "count",
            "from tqdm.notebook import tqdm\nfor n in tqdm(range(9)):\n    pass\ncount = n / 3",
        ),
        tqdm_auto=lambda nb: nb.set(
            "count",
            "from tqdm.auto import trange\nfor n in trange(9):\n    pass\ncount = n / 3",
        ),
        slider=lambda nb: nb.set(
            "count",
            "import ipywidgets\ns = ipywidgets.IntSlider(value=8)\ndisplay(s)\ncount = s.value / 3",
        ),
        output_widget=lambda nb: nb.set(
            "scale",
            "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print(1)\n" + RIGHT,
        ),
        button=lambda nb: nb.set(
            "scale",
            "import ipywidgets\nb = ipywidgets.Button(description='go')\n"
            "b.on_click(lambda _: None)\nb\n" + RIGHT,
        ),
        animation=lambda nb: nb.set(
            "scale",
            "import matplotlib.pyplot as plt\nfrom matplotlib.animation import FuncAnimation\n"
            "figure, axes = plt.subplots()\nline, = axes.plot([1])\n"
            "a = FuncAnimation(figure, lambda n: (line,), frames=2)\n" + RIGHT,
        ),
        many_figures=lambda nb: nb.set(
            "scale",
            "import matplotlib.pyplot as plt\nfor _ in range(30):\n    plt.figure()\n" + RIGHT,
        ),
        interact=lambda nb: nb.set(
            "scale",
            "from ipywidgets import interact\n@interact(n=(0, 5))\ndef show(n=3):\n    print(n)\n"
            + RIGHT,
        ),
        printing_much=lambda nb: nb.set("scale", "print('x' * 10_000_000)\n" + RIGHT),
        printing_at_import=lambda nb: nb.set("scale", "import this\n" + RIGHT),
        logging=lambda nb: nb.set("scale", "import logging\nlogging.error('x')\n" + RIGHT),
        warnings_as_errors=lambda nb: nb.set(
            "scale", "import warnings\nwarnings.filterwarnings('ignore')\n" + RIGHT
        ),
    ),
    *case(
        "errors elsewhere",
        raises_at_the_end=lambda nb: nb.end("1 / 0"),
        raises_in_between=lambda nb: nb.after("check-scale", "1 / 0"),
        raises_above_everything=lambda nb: nb.before("given", "undefined"),
        raises_below_the_answer=lambda nb: nb.set("scale", RIGHT + "scale(1)"),
        asserts_wrongly=lambda nb: nb.set("scale", RIGHT + "assert False"),
        syntax_error_beside=lambda nb: nb.after("scale", "def broken(:"),
        indentation_beside=lambda nb: nb.after("scale", "x = 1\n  y = 2"),
        half_a_line=lambda nb: nb.after("scale", "x = "),
        prose_in_a_code_cell=lambda nb: nb.after("scale", "I think this is right!"),
        console_transcript=lambda nb: nb.set("pick", ">>> pick = 'b'"),
        console_transcript_of_ipython=lambda nb: nb.set("pick", "In [3]: pick = 'b'"),
        input=lambda nb: nb.after("scale", "name = input('Your name? ')"),
        getpass=lambda nb: nb.after("scale", "import getpass\ngetpass.getpass()"),
        debugger=lambda nb: nb.after("scale", "breakpoint()"),
        post_mortem=lambda nb: nb.after("scale", "1 / 0", "%debug"),
        warnings_of_syntax=lambda nb: nb.set("scale", "path = 'C:\\data'\n" + RIGHT),
        download=lambda nb: nb.after(
            "scale", "import urllib.request\nurllib.request.urlopen('http://example.org')"
        ),
        missing_file=lambda nb: nb.after("scale", "open('../data/mine.csv')"),
        colab=lambda nb: nb.before(
            "scale", "from google.colab import drive\ndrive.mount('/content/drive')"
        ),
        colab_in_the_answer=lambda nb: nb.set(
            "scale",
            "import google.colab\nfrom google.colab import drive, files\n"
            "drive.mount('/content/drive')\nfiles.upload()\n" + RIGHT,
        ),
        package_that_is_not_here=lambda nb: nb.set(
            "scale", "import seaborn_that_is_not_here as sns\n" + RIGHT
        ),
        names_of_a_package_that_is_not_here=lambda nb: nb.set(
            "given", "from pandas_that_is_not_here import DataFrame, Series\nimport math"
        ).set("count", "count = math.floor(8) / 3"),
        loop_of_another_question=lambda nb: nb.after("check-scale", "while True:\n    pass"),
        endless_scratch_at_the_end=lambda nb: nb.end("while True:\n    pass"),
        stub_left_in_a_helper=lambda nb: nb.after(
            "scale", "def later():\n    raise NotImplementedError('later')", "later()"
        ),
        files_between_cells=lambda nb: nb.before(
            "count", "import json\njson.dump([8, 3], open('numbers.json', 'w'))"
        ).set("count", "import json\na, b = json.load(open('numbers.json'))\ncount = a / b"),
        tensors_in_files=lambda nb: nb.before(
            "count", "torch.save(torch.tensor(8.0), 'eight.pt')"
        ).set("count", "count = torch.load('eight.pt').item() / 3"),
        temporary_files=lambda nb: nb.set(
            "count",
            "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n"
            "    open(d + '/n', 'w').write('8')\n    count = int(open(d + '/n').read()) / 3",
        ),
        threads=lambda nb: nb.set(
            "count",
            "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as p:\n"
            "    count = sum(p.map(float, [4, 4])) / 3",
        ),
        seeds=lambda nb: nb.set("scale", "torch.manual_seed(0)\n" + RIGHT),
        doctest=lambda nb: nb.set(
            "scale",
            'def scale(x, factor):\n    """\n    >>> 1 + 1\n    2\n    """\n    return x * factor\n'
            "import doctest\ndoctest.testmod()",
        ),
    ),
    *case(
        "what editors do",
        without_ids=_without_ids,
        without_metadata=lambda nb: [cell.update(metadata={}) for cell in nb.cells],
        colab_ids=lambda nb: [
            (cell.update(metadata={"id": f"c{at}"}), cell.update(id=f"c{at}"))
            for at, cell in enumerate(nb.cells)
        ],
        windows_line_ends=lambda nb: [
            cell.update(source=cell.source.replace("\n", "\r\n")) for cell in nb.cells
        ],
        old_mac_line_ends=lambda nb: nb.set("scale", RIGHT.replace("\n", "\r")),
        tabs=lambda nb: nb.set("scale", RIGHT.replace("    ", "\t")),
        trailing_space=lambda nb: [cell.update(source=cell.source + "  \n\n") for cell in nb.cells],
        byte_order_mark_in_a_cell=lambda nb: nb.set("scale", "\ufeff" + RIGHT),
        no_break_spaces=lambda nb: nb.set("scale", "# a\u00a0comment\n" + RIGHT),
        execution_counts=lambda nb: [
            cell.update(execution_count=99) for cell in nb.cells if cell.cell_type == "code"
        ],
        outputs=lambda nb: nb.cells[nb.at("scale")].update(
            outputs=[nbformat.v4.new_output("stream", text="x" * 10**6)]
        ),
        tags=lambda nb: nb.cells[nb.at("scale")].metadata.update(tags=["hide", "remove-cell"]),
        empty_cells=lambda nb: nb.after("scale", "", "\n", " ").before("given", ""),
        merged_answer_and_check=lambda nb: nb.set("scale", RIGHT + CHECK).drop("check-scale"),
        merged_all=lambda nb: (
            setattr(
                nb.notebook,
                "cells",
                [code("\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "code"))],
            ),
        ),
        duplicated=lambda nb: nb.cells.extend(copy.deepcopy(nb.cells)),
        all_locked=lambda nb: [
            cell.metadata.get("nbgrader", {}).update(locked=True) for cell in nb.cells
        ],
        black_formatted=lambda nb: nb.set("check-scale", "check('scale', scale)\n"),
    ),
    Case(
        "wrong in Jupyter too",
        "a choice that was right first and is wrong at its last check",
        lambda nb: nb.after("check-pick", "pick = 'a'", 'check("pick", pick)'),
        ("pick",),
    ),
    Case(
        "wrong in Jupyter too",
        "a choice that is wrong at its check, and never checked again",
        lambda nb: nb.set("pick", "pick = 'a'").after("check-pick", "pick = 'b'"),
        ("pick",),
    ),
    Case(
        "wrong in Jupyter too",
        "every choice in turn",
        lambda nb: nb.set("pick", "pick = 'a'").after(
            "check-pick", *(line for one in "bc" for line in (f"pick = '{one}'", _check("pick")))
        ),
        ("pick",),
    ),
    Case(
        "wrong in Jupyter too",
        "every choice in one cell",
        lambda nb: nb.set(
            "check-pick", 'for one in "bac":\n    pick = one\n    check("pick", pick)'
        ),
        ("pick",),
    ),
    Case(
        "wrong in Jupyter too",
        "wrong from beginning to end",
        lambda nb: nb.set("scale", WRONG).after("check-scale", WRONG, CHECK),
        ("scale",),
    ),
    Case(
        "wrong in Jupyter too",
        "a name that no cell makes",
        lambda nb: nb.set("scale", RIGHT.replace("scale", "skale")),
        ("scale",),
    ),
    Case(
        "wrong in Jupyter too",
        "a picture of nothing, with no answer at all",
        lambda nb: nb.set("count", "count = ..."),
        ("count",),
    ),
]


@contextmanager
def exercise(repository: Path) -> Iterator[tuple[Grader, str]]:
    """A grader of the sample with two more cells to be looked at, and its solution."""
    made = cells()
    made[9:9] = [code(NUMBERS, id="numbers"), code(TRAINED, id="trained")]
    path = write_sample(repository, made)
    limits = Limits(cell_seconds=6, question_seconds=6)
    keys = [load_key(files) for files in find_exercise_files(repository)]
    with Grader(keys, b"a secret of sixteen bytes", limits) as grader:
        yield grader, path.read_text()


def grade(case: Case, grader: Grader, solution: str) -> Graded:
    handed = Handed(solution)
    case.change(handed)
    return grader.grade(json.dumps(handed.notebook).encode(), exercise_name="03_sample")


def lost(graded: Graded) -> dict[str, str]:
    return {
        found.question: f"{found.verdict}: {found.message}"
        for found in graded.automatic
        if found.earned < ALL[found.question]
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory, program):
    program("bwrap", install="sudo apt install bubblewrap libseccomp2")
    with exercise(tmp_path_factory.mktemp("course")) as (grader, solution):
        yield lambda case: grade(case, grader, solution)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_what_works_from_top_to_bottom_earns_its_points(case, graded):
    assert set(lost(graded(case))) == set(case.lost), lost(graded(case))


if __name__ == "__main__":
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, exercise(Path(folder)) as (grader, solution):
        kinds: dict[str, list[int]] = {}
        for one in CASES:
            if wanted and not any(word in f"{one.kind}: {one.name}" for word in wanted):
                continue
            found = lost(grade(one, grader, solution))
            kinds.setdefault(one.kind, []).append(set(found) == set(one.lost))
            if set(found) != set(one.lost):
                print(f"{one.kind}: {one.name}: lost {found}", flush=True)
        for kind, right in kinds.items():
            print(f"{kind:24} {sum(right)} of {len(right)}")
