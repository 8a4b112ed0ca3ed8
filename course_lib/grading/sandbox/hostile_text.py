"""Text that a submission had a hand in, fit to be shown: the only sanitiser, used everywhere.

What is shown as HTML, CSV or Markdown is escaped besides, where it is written.
"""

import re
import unicodedata
from typing import Literal

LONGEST = 2000  # characters of a message, a hint, an answer

# Control characters, bidirectional overrides, what has no width, halves of pairs, non-characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_ACCENTS = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_TOWER = re.compile(f"({_ACCENTS}{{3}}){_ACCENTS}+")  # accents that climb over the lines above


def clean(
    text: str,
    limit: int = LONGEST,
    layout: Literal["line", "lines", "kept"] = "line",
    mark: str = "",
) -> str:
    """A text from outside without what deceives the eye or commands a terminal.

    Control characters, bidirectional overrides and invisible characters are left out, accents are
    piled no higher than three, and what is longer than ``limit`` is cut.

    Args:
        layout: one ``line``; ``lines``, at most one of them empty between others; or white space
            ``kept`` as it is, line ends apart.
        mark: is put in place of what is left out, and of all else that is not printable.
    """
    text = str(text)[: 4 * limit]
    if not text.isascii():
        text = unicodedata.normalize("NFC", _UNSEEN.sub(mark, text))
        text = _TOWER.sub(r"\1", text)
    text = _UNSEEN.sub(mark, _LINE_END.sub("\n", text))
    if mark:
        text = "".join(char if char.isprintable() or char in "\n\t" else mark for char in text)
    if layout == "line":
        text = " ".join(text.split())
    elif layout == "lines":
        text = re.sub(r"\n{3,}", "\n\n", text.replace("\t", "    ")).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
