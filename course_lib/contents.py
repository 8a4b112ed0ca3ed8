"""The server's side of lectures: what a student sees when a notebook opens, and what is saved.

`make lab` starts JupyterLab with `LectureContents` where Jupyter has a manager of plain files.

- A cell tagged `predict` opens without the answer that the committed file has below it, until the
  student has run it. Saving keeps the answers of the cells that were not run in the file.
- Live widgets are saved as stills with a sentence; a page loaded anew while the kernel lives gets
  the widgets themselves.

`to_html` makes a page of a notebook, on which answers stand behind a fold.
"""

import copy

import nbformat
from jinja2 import DictLoader
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from nbconvert import HTMLExporter
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

from course_lib.outputs import PREDICT_TAG, hide_answers, keep_answers, to_stills, to_widgets, views

_FOLD = f"""
{{%- extends "lab/index.html.j2" -%}}
{{%- block input_group -%}}
{{%- if cell.metadata.get("jupyter", {{}}).get("source_hidden") -%}}
<details class="code">
<summary style="margin-left: 79px">{{{{ cell.source.split("\n")[0].lstrip("# ") | e }}}}</summary>
{{{{ super() }}}}
</details>
{{%- else -%}}
{{{{ super() }}}}
{{%- endif -%}}
{{%- endblock input_group -%}}
{{%- block output_group -%}}
{{%- if "{PREDICT_TAG}" in cell.metadata.get("tags", []) -%}}
<details class="answer"><summary style="margin-left: 79px">Show the answer</summary>
{{{{ super() }}}}
</details>
{{%- else -%}}
{{{{ super() }}}}
{{%- endif -%}}
{{%- endblock output_group -%}}
"""


class LectureContents(AsyncLargeFileManager):
    """Jupyter's files, notebooks among them as the course wants them opened and saved."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self._kernels: dict[str, str] = {}  # a widget's model → the kernel that has it

    async def get(self, path, content=True, *rest, **options):
        """As Jupyter's, without answers below open predictions, and with widgets that live."""
        model = await super().get(path, content, *rest, **options)
        if content and model["type"] == "notebook":
            notebook = model["content"]
            kernel = await self._kernel(path)
            hide_answers(notebook)
            to_stills(notebook)  # also what another server has saved
            to_widgets(notebook, lambda view: kernel and self._kernels.get(view) == kernel)
        return model

    async def save(self, model, path=""):
        """As Jupyter's, with widgets as stills, and the answers that `get` left out."""
        if model.get("type") == "notebook" and "chunk" not in model and model.get("content"):
            notebook = copy.deepcopy(model["content"])
            if kernel := await self._kernel(path):
                for view in views(notebook):
                    self._kernels.setdefault(view, kernel)
            to_stills(notebook)
            self._keep_answers(notebook, path)
            model = {**model, "content": notebook}
        return await super().save(model, path)

    def _keep_answers(self, notebook: dict, path: str) -> None:
        try:
            saved = nbformat.read(self._get_os_path(path), as_version=4)
            keep_answers(notebook, saved)
        except Exception as error:  # whatever is wrong with the old file, the new one is saved
            if self.exists(path):
                self.log.warning("Cannot read the answers in %s: %r", path, error)

    async def _kernel(self, path: str) -> str | None:
        """What tells the process of the notebook's kernel from any other; None if none runs."""
        server = self.parent
        for session in await server.session_manager.list_sessions():
            if session["path"] == path.strip("/") and session["kernel"]:
                name = session["kernel"]["id"]
                process = server.kernel_manager.get_kernel(name).provisioner
                return f"{name} {getattr(process, 'pid', '')}"  # a restart changes the process
        return None


class Stills(Preprocessor):
    """For nbconvert: stills where live widgets are, which a page without a kernel cannot show."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        nb = copy.deepcopy(nb)
        to_stills(nb)
        return nbformat.from_dict(nb), resources


def to_html(notebook: NotebookNode) -> str:
    """A page that shows the notebook; folded code and answers to predictions stay behind a fold."""
    exporter = HTMLExporter(
        template_file="answers_folded", extra_loaders=[DictLoader({"answers_folded": _FOLD})]
    )
    exporter.register_preprocessor(Stills, enabled=True)
    page, _ = exporter.from_notebook_node(notebook)
    return page
