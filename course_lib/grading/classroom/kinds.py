"""What a file is that was handed in: by its name, else by its first bytes."""

import re
from collections.abc import Callable

from course_lib.grading.classroom.notebooks import MAX_NOTEBOOK_BYTES, quoted

NOTEBOOK, ARCHIVE, OTHER = "notebook", "archive", "other"
_NOBODYS = re.compile(
    r"(readme|licen[cs]e|copying|index|makefile|thumbs|desktop|requirements|environment|roster"
    r"|grades?|gradebook|marks)(\.\w{1,5})?",
    re.IGNORECASE,
)
_OFFICE = re.compile(
    r"\.(docx?|xlsx?|pptx?|odt|ods|odp|epub|jar|whl|pages|numbers|key|pt|pth|npz)$"
)


def is_nobodys(name: str) -> bool:
    """Whether a file is what lies around in folders, and no student's submission."""
    return bool(_NOBODYS.fullmatch(name))


def kind_of(name: str, peek: Callable[[], bytes], size: int) -> tuple[str, tuple[str, ...]]:
    """What a file is, and a note where its name says something else.

    Args:
        peek: gives the file's first bytes.
    """
    lower = name.lower()
    if lower.endswith(".zip"):
        head = peek() if size <= MAX_NOTEBOOK_BYTES else b""
        is_notebook = looks_like_notebook(head)
        return (NOTEBOOK, _note(name, "a notebook")) if is_notebook else (ARCHIVE, ())
    if lower.endswith(".ipynb"):
        return (ARCHIVE, _note(name, "a zip")) if _is_zip(peek()) else (NOTEBOOK, ())
    head = peek()
    if size <= MAX_NOTEBOOK_BYTES and looks_like_notebook(head):
        return NOTEBOOK, _note(name, "a notebook")
    if _is_zip(head) and not _OFFICE.search(lower):
        return ARCHIVE, _note(name, "a zip")
    return OTHER, ()


def looks_like_notebook(head: bytes) -> bool:
    """Whether a file begins as a notebook of format 3 or 4 does, in whatever encoding."""
    head = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    has_cells = b'"cells"' in head or b'"worksheets"' in head
    return head.startswith(b"{") and has_cells and b'"cell_type"' in head


def _is_zip(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _note(name: str, kind: str) -> tuple[str, ...]:
    return (f"`{quoted(name)}` was read as {kind}, which it is",)
