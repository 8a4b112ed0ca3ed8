"""What every lecture repeats: where it stands in the course, pictures at equal bytes, self-tests.

Three cells of a lecture are written by `generated`, never by hand: the links at both ends, and the
measured time with what a reader needs. The rest is about files: coded once for each photograph,
codec and quality, remembered, and put beside each other at equal bytes.

>>> ours = nearest("chelsea", "jpeg2000", bpp=0.4)
>>> [file.codec for file in at_equal_bytes(ours, ["jpeg", "webp"])]
['jpeg2000', 'jpeg', 'webp']
"""

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from course_lib import plots
from course_lib.codecs import (
    CODECS,
    TooFewBytes,
    decode,
    encode_within,
    load_codec,
    measured_at,
)
from course_lib.coding.container import read_header
from course_lib.errors import InputError
from course_lib.evaluation import (
    Comparison,
    Curve,
    load_results,
    measured_curve,
    published_curve,
    sha256_of_pixels,
)
from course_lib.images import photograph
from course_lib.metrics import MS_SSIM_MIN_SIDE, bits_per_pixel, ms_ssim, ms_ssim_db, psnr
from course_lib.paths import data_dir
from course_lib.self_tests import SelfTest, read_questions

PAGE = "page"  # stands where the name of a photograph may stand: see `page`
_SKETCH = 10  # points of a curve on one photograph, about


# A lecture's place in the course


@dataclass(frozen=True)
class Chapter:
    """One row of ``data/chapters.json``."""

    number: int
    slug: str  # the file's name: notebooks/{slug}.ipynb
    title: str
    hook: str  # one line that makes a student want it
    needs: tuple[int, ...]  # chapter numbers
    system: str | None  # the name of its codec in load_codec
    paper: str | None
    exercise: str | None  # exercises/{exercise}.ipynb
    state: str  # "ready" or "planned"
    background: str = ""  # what it needs that no chapter teaches


def chapters() -> list[Chapter]:
    """The sixteen chapters of the course, in order."""
    rows = json.loads((data_dir() / "chapters.json").read_text(encoding="utf-8"))
    return [Chapter(**{**row, "needs": tuple(row["needs"])}) for row in rows]


def times_file() -> Path:
    """Where `course notebooks` writes down how long each notebook took."""
    return data_dir() / "results" / "notebook_times.json"


def measured_times() -> dict[str, dict]:
    """What stands there, by the notebook's path in the clone; nothing if there is no such file."""
    path = times_file()
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def links(number: int) -> str:
    """Markdown, one line: the lecture before, the exercise and the lecture after that are ready.

    Raises:
        InputError: no chapter has that number.
    """
    chapter = _chapter(number)
    ready = [other for other in chapters() if other.state == "ready"]
    before = [other for other in ready if other.number < number]
    after = [other for other in ready if other.number > number]
    parts = [_lecture_link(before[-1], "← ")] if before else []
    if chapter.exercise:
        parts.append(f"[Exercise {number:02}](../exercises/{chapter.exercise}.ipynb)")
    if after:
        parts.append(_lecture_link(after[0], end=" →"))
    return " · ".join(parts)


def exercise_links(number: int) -> str:
    """Markdown, one line: from a chapter's exercise to the one before, its lecture, the one after.

    Raises:
        InputError: no chapter has that number.
    """
    chapter = _chapter(number)
    ready = [other for other in chapters() if other.state == "ready" and other.exercise]
    before = [other for other in ready if other.number < number]
    after = [other for other in ready if other.number > number]
    parts = [f"[← Exercise {before[-1].number:02}]({before[-1].exercise}.ipynb)"] if before else []
    lecture = f"Lecture {number:02} · {chapter.title}"
    parts.append(f"[{lecture}](../notebooks/{chapter.slug}.ipynb)")
    parts += [f"[Exercise {after[0].number:02} →]({after[0].exercise}.ipynb)"] if after else []
    return " · ".join(parts)


def about(number: int) -> str:
    """Markdown, one line: how long a lecture's cells were measured to run, and what it needs.

    Raises:
        InputError: no chapter has that number.
    """
    chapter = _chapter(number)
    needs = [_chapter(need) for need in chapter.needs]
    parts = [chapter.background] if chapter.background else []
    parts += [_lecture_link(need) for need in needs if need.state == "ready"]
    planned = [_lecture_link(need) for need in needs if need.state != "ready"]
    parts += [f"and, once written, {' and '.join(planned)}"] if planned else []
    measured = _measured(chapter)
    if measured is None:
        time = "not yet measured."
    else:
        seconds = max(5, 5 * round(measured["seconds"] / 5))
        cores = measured["cores"]
        machine = f"{cores} processor core{'s' if cores > 1 else ''}"
        time = f"all cells run in about {seconds} s on {machine}, as measured."
    return f"**Time:** {time} **You need:** {', '.join(parts) or 'nothing but curiosity'}."


def generated(number: int) -> dict[str, str]:
    """The sources of those cells of a lecture that no one writes by hand, by cell id."""
    line = links(number)
    return {"links": line, "about": about(number), "links-end": line}


def generated_in_exercise(number: int) -> dict[str, str]:
    """The sources of those cells of a chapter's exercise that no one writes by hand, by cell id."""
    line = exercise_links(number)
    return {"links": line, "links-end": line}


def self_test(slug: str) -> SelfTest:
    """The three questions of a chapter, to be clicked: ``data/self_tests/{slug}.json``.

    Raises:
        InputError: no chapter has that slug, its questions are missing or wrong.
    """
    known = [chapter.slug for chapter in chapters()]
    if slug not in known:
        raise InputError(f"No chapter {slug!r}; expected one of {', '.join(known)}.")
    return SelfTest(read_questions(data_dir() / "self_tests" / f"{slug}.json"))


def chapter_table(folder: str = "notebooks") -> str:
    """A Markdown table of all chapters, linked as seen from a folder of the clone ("." is its top).

    It has what each is about, what it needs, how long it runs, and its exercise.
    """

    def link(text: str, target: str) -> str:
        return f"[{text}]({posixpath.relpath(target, folder)})"

    rows = []
    for chapter in chapters():
        title, time, exercise = chapter.title, "planned", ""
        if chapter.state == "ready":
            title = link(chapter.title, f"notebooks/{chapter.slug}.ipynb")
            measured = _measured(chapter)
            time = f"{measured['seconds']:.0f} s" if measured else "not measured"
            if chapter.exercise:
                exercise = link(f"{chapter.number:02}", f"exercises/{chapter.exercise}.ipynb")
        needs = ", ".join(f"{need:02}" for need in chapter.needs)
        rows.append((f"{chapter.number:02}", title, chapter.hook, needs, time, exercise))
    head = ["| | chapter | what it is about | needs | runs in | exercise |", "|---" * 6 + "|"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in rows])


# Files of one picture


@dataclass(frozen=True)
class Coded:
    """A picture's file, and what comes back from it."""

    name: str  # of the photograph
    codec: str
    data: bytes
    picture: np.ndarray  # uint8 (H, W, 3), decoded; not to be written to

    @property
    def label(self) -> str:
        """The codec's name in figures."""
        return plots.codec_style(self.codec)["label"]

    @property
    def quality(self) -> int:
        """The place on the codec's ladder, as the file's header has it."""
        return read_header(self.data).quality

    @property
    def bpp(self) -> float:
        """Bits per pixel, all bytes of the file counted."""
        return bits_per_pixel(len(self.data), *self.picture.shape[:2])

    @cached_property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB."""
        return psnr(_original(self.name), self.picture)

    @cached_property
    def ms_ssim_db(self) -> float:
        """MS-SSIM in dB; NaN for pictures that are too small for its five scales."""
        if min(self.picture.shape[:2]) < MS_SSIM_MIN_SIDE:
            return np.nan
        return ms_ssim_db(ms_ssim(_original(self.name), self.picture))

    @property
    def caption(self) -> str:
        """Two lines for above the picture: codec and bytes, and PSNR."""
        return f"{self.label}: {len(self.data):,} bytes\n{self.psnr:.1f} dB"


@cache
def coded(name: str, codec: str, quality: int) -> Coded:
    """A photograph (or `PAGE`) through a codec at one quality; coded once, then remembered.

    Raises:
        InputError: no such photograph, codec or quality.
    """
    return _coded(name, codec, load_codec(codec, quality).encode(_original(name)))


@cache
def within(name: str, codec: str, max_bytes: int) -> Coded:
    """A photograph's best file of a codec that has at most so many bytes; remembered.

    Raises:
        InputError: no such photograph or codec.
        TooFewBytes: even the lowest quality needs more bytes.
    """
    return _coded(name, codec, encode_within(_original(name), codec, max_bytes))


def at_equal_bytes(file: Coded, codecs: Iterable[str]) -> list[Coded]:
    """A file, and the best of each other codec that is not larger.

    A codec whose smallest file of this picture is larger is left out.
    """
    files = [file]
    for codec in codecs:
        try:
            files.append(within(file.name, codec, len(file.data)))
        except TooFewBytes:
            continue
    return files


def nearest(name: str, codec: str, bpp: float) -> Coded:
    """The file of a photograph, of all places where the codec is measured, nearest to a rate.

    Raises:
        InputError: no such photograph or codec.
    """
    files = (coded(name, codec, quality) for quality in measured_at(codec))
    return min(files, key=lambda file: abs(file.bpp - bpp))


def crops(files: Sequence[Coded], window: tuple = ()) -> tuple[list[np.ndarray], list[str]]:
    """The original and what files of it give, cut to a window, and captions for all of them.

    These are the first two arguments of `plots.show_images`:

        plots.show_images(*crops(files, np.s_[40:200, 150:310]), title=…, alt=…)

    Raises:
        InputError: no files, or of different photographs.
    """
    names = {file.name for file in files}
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "no files"
        raise InputError(f"Got {found}; expected files of one photograph, so that they compare.")
    pictures = [_original(files[0].name), *(file.picture for file in files)]
    return [picture[window] for picture in pictures], ["Original", *(f.caption for f in files)]


def page() -> np.ndarray:
    """``uint8 (384, 512, 3)``: a drawn screen, of text, thin lines and bars in flat colours.

    Nothing in it is like a photograph. `PAGE` is its name in the functions above.
    """
    picture = Image.new("RGB", (512, 384), "white")
    pen = ImageDraw.Draw(picture)
    text = "rate plus distortion, bit by bit, " * 2
    for row in range(9):
        line = text[row : row + 60]
        pen.text((16, 10 + 22 * row), line, fill="black", font=ImageFont.load_default(14))
    for x in range(0, 512, 6):
        pen.line((x, 215, x, 235), fill="black")
    for place, color in enumerate(("red", "lime", "blue", "magenta", "orange", "black")):
        left = 30 + 80 * place
        pen.rectangle((left, 360 - 20 * (place % 4 + 2), left + 50, 360), fill=color)
    return np.array(picture)


# Curves and tables


def curve(name: str, codec: str, qualities: Sequence[int] | None = None) -> Curve:
    """Rates of a codec on one photograph, and the PSNR and MS-SSIM that they reach.

    ``qualities`` are by default some ten of those at which the codec is measured, or all if there
    are no more.

    Raises:
        InputError: no such photograph, codec or quality.
    """
    if qualities is None:
        measured = measured_at(codec)
        qualities = measured[:: -(-len(measured) // _SKETCH)]
    files = sorted((coded(name, codec, q) for q in qualities), key=lambda file: file.bpp)
    values = np.array([(file.bpp, file.psnr, file.ms_ssim_db) for file in files])
    return Curve(codec, *values.T, codec, pictures=sha256_of_pixels([_original(name)]))


def kodak_curve(codec: str, published: bool = False) -> Curve:
    """A codec on the 24 Kodak photographs: as we measured it, or as it was published.

    Raises:
        InputError: nothing was measured, or published, of that codec.
    """
    if not published:
        return measured_curve(load_results(data_dir() / "results" / f"kodak-{codec}.json"))
    known = {name: row.published for name, row in CODECS.items() if row.published}
    if codec not in known:
        raise InputError(f"No published curve of {codec!r}; expected one of {', '.join(known)}.")
    return published_curve(known[codec])


def bd_table(curves: Mapping[str, Curve], anchor: Curve | Mapping[str, Curve]) -> str:
    """BD-rates by PSNR and by MS-SSIM, in whole percent, as a table in Markdown.

    ``curves`` are the rows, by label: how many bits each needs more (+) or less (-) than the anchor
    at equal PSNR or MS-SSIM. ``anchor`` is one for all rows, or one for each, by the same labels.
    "–" where two curves do not overlap; an overlap that is tiny is told.
    """
    rows = []
    for label, row in curves.items():
        against = anchor if isinstance(anchor, Curve) else anchor[label]
        compared = (row.compare(against, metric) for metric in ("psnr", "ms-ssim"))
        rows.append([label, *map(_percent, compared)])
    return _table(["bits at equal", "PSNR", "MS-SSIM"], rows)


def estimate_table(files: Mapping[str, tuple[float, int, int]]) -> str:
    """Bits that were estimated against bytes that were written, as a table in Markdown.

    ``files``: by label, the bits that tables or densities promised, the bytes of the whole file,
    and how many of them are header and checksums. What the coder itself took more than promised
    is in per cent.
    """
    rows = []
    for label, (bits, num_bytes, header_bytes) in files.items():
        payload, estimate = num_bytes - header_bytes, bits / 8
        sizes = [f"{estimate:,.1f}", f"{payload:,}", f"{header_bytes:,}", f"{num_bytes:,}"]
        rows.append([label, *sizes, f"{payload / estimate - 1:+.2%}" if estimate else "–"])
    return _table(["bytes", "estimated", "coded", "header", "file", "coded - estimated"], rows)


def _percent(compared: Comparison) -> str:
    if compared.rate is None:
        return "–"
    return f"{compared.rate:+.0f} %" + (f" ({compared.note})" if compared.note else "")


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown, its columns padded so that the text can be read as it is."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    marks = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        for row in (head, marks, *rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _chapter(number: int) -> Chapter:
    for chapter in chapters():
        if chapter.number == number:
            return chapter
    raise InputError(f"No chapter {number!r}; expected 0 to {len(chapters()) - 1}.")


def _measured(chapter: Chapter) -> dict | None:
    """What `course notebooks` wrote down when it last executed a lecture."""
    return measured_times().get(f"notebooks/{chapter.slug}.ipynb")


def _lecture_link(chapter: Chapter, begin: str = "", end: str = "") -> str:
    text = f"{begin}{chapter.number:02} · {chapter.title}{end}"
    return f"[{text}]({chapter.slug}.ipynb)" if chapter.state == "ready" else text


@cache
def _original(name: str) -> np.ndarray:
    image = page() if name == PAGE else photograph(name)
    image.flags.writeable = False  # it is shared
    return image


def _coded(name: str, codec: str, data: bytes) -> Coded:
    picture = decode(data)
    picture.flags.writeable = False
    return Coded(name, codec, data, picture)
