"""What a class gets to see: tables that add up, marks that survive, pages that teach."""

import csv
import io
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from course_lib.errors import CourseError
from course_lib.grading.classroom.results import VERDICTS, Entry, Graded, QuestionResult, Student
from course_lib.grading.reports import pages
from course_lib.grading.reports.cells import as_csv, cell_of, without_inner_formulas
from course_lib.grading.reports.folder import reaches, write_reports
from course_lib.grading.reports.marks import read_marks
from course_lib.grading.reports.scores import Mark
from course_lib.grading.reports.student_page import feedback_page
from course_lib.grading.reports.summary import summary_table
from course_lib.grading.sandbox.hostile_text import clean

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=y>\"'><h1 class='x'>&amp;",
    '=HYPERLINK("http://evil.example","click")',
    "+1+1|cmd",
    "@SUM(A1)",
    "-2+3",
    "\t=1",
    "a;=1+1",
    "ada | `bob` **c** [d](javascript:e) $f$",
    "line\r\nline\u2028line",
    "\u202egnp.exe\u2066\x00\x1b[31m\ud800",
    "../../etc/passwd",
    "..",
    "CON",
    "lpt1.txt",
    "",
    "x" * 300,
    "ä" * 300,
    "Z" + "\u0301" * 200,
    "Points Possible",
)


def result(question, verdict="PASS", points=2, **more) -> QuestionResult:
    """A question's result as the grader makes it."""
    passed = verdict == "PASS"
    if verdict in ("PASS", "FAIL"):
        cases = {"public_cases": (True, True, passed), "hidden_cases": (True, passed, True, True)}
    else:
        cases = {"public_cases": (), "hidden_cases": ()}
    more = cases | {"earned": points if passed else 0} | more
    return QuestionResult(question, f"About {question}", points, verdict, **more)


def one_of_each(**more) -> Graded:
    questions = (
        result("cut", points=3),
        result("loss"),
        result(
            "psnr",
            "FAIL",
            message="got 1.52794, expected 2.20435 (1.443 times too small)",
            called_with="x: float32 tensor (5,), peak: 1",
            hint="The natural logarithm gives nats. For bits take the logarithm to base 2.",
            mistake="nats",
        ),
        result("fitted", "FAIL", public_cases=(True, True), hidden_cases=(False, True)),
        result("loop", "TIMEOUT", message="stopped after 10 s"),
        result("recursion", "CRASH", message="its process died (signal 11)"),
        result("outer", "LIMIT", message="it took more than 2 GiB of memory"),
        result("lost", "INFRA_ERROR", message="the sandbox did not start"),
        result("why", "BY_HAND", 3, answer="Because a gradient of zero\n\nteaches nothing."),
    )
    graded = Graded("01_autoencoders", "Exercise 1: Autoencoders", "ab" * 32, questions)
    return replace(graded, seconds=3.25, **more)


def simple(exercise="01_autoencoders", right=2, of=3, answer=None, **more) -> Graded:
    questions = [result(f"q-{n}", "PASS" if n < right else "FAIL") for n in range(of)]
    if answer is not None:
        questions.append(result("why", "BY_HAND", 3, answer=answer))
    digest = f"{right}{of}{answer}".encode().hex().ljust(64, "0")[:64]
    return replace(Graded(exercise, f"About {exercise}", digest, tuple(questions)), **more)


def entry(name="ada", graded=None, notes=(), **ids) -> Entry:
    graded = graded or simple()
    return Entry(Student(name, **ids), f"class.zip/{name}/{graded.exercise}.ipynb", graded, notes)


def hostile_entries() -> list[Entry]:
    entries = []
    for number, text in enumerate(HOSTILE):
        failed = result(
            "q-0", "FAIL", message=text, called_with=text, hint=text, mistake=text or "m"
        )
        written = result("why", "BY_HAND", 3, answer=text)
        graded = Graded(
            "01_autoencoders",
            "Exercise 1",
            f"{number:064x}",
            (failed, result("q-1"), result("q-2", "INFRA_ERROR", message=text), written),
            notes=(text,),
            cell_errors=(text,),
        )
        entries.append(Entry(Student(text), text, graded, (text,)))
    return entries


def read_csv(path, encoding="utf-8-sig") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(encoding), newline="")))


def fill_marks(path, marks, save=lambda text: ("\ufeff" + text).encode(), delimiter=",") -> None:
    """Fill marks in as a person does, and save the file as a spreadsheet would."""
    rows = read_csv(path)
    for row in rows:
        row |= marks.get(row["student"], {})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(save(buffer.getvalue()))


class Outline(HTMLParser):
    """Checks that a page is well formed, and collects what it is made of."""

    void = ("meta", "br", "rect", "line")

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.headings = [], set(), set(), []
        self.ids, self.links, self.words = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attributes}
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("href", "src")]
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def all_pages(folder) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def feedback(graded, name="ada", marks=None, **more) -> Outline:
    return Outline(feedback_page(name, [entry(name, graded, **more)], marks or {}))


# ---------------------------------------------------------------------------- tables


def test_gradebook_adds_up_and_sorts(tmp_path):
    entries = [
        entry("cleo", simple("02_pca", right=1)),
        entry("bob", simple("01_autoencoders", right=3)),
        entry("bob", simple("02_pca", right=0)),
        entry("ada", simple("01_autoencoders", right=2)),
    ]
    write_reports(entries, tmp_path)
    rows = read_csv(tmp_path / "gradebook.csv")
    assert [row["student"] for row in rows] == ["ada", "bob", "cleo"]
    assert list(rows[0])[:6] == [
        *("student", "01_autoencoders", "01_autoencoders points"),
        *("01_autoencoders/q-0", "01_autoencoders/q-1", "01_autoencoders/q-2"),
    ]
    assert [row["01_autoencoders"] for row in rows] == ["4", "6", ""]
    assert [row["02_pca"] for row in rows] == ["", "0", "2"]
    for row in rows:
        for exercise in ("01_autoencoders", "02_pca"):
            parts = [row[f"{exercise}/q-{n}"] for n in range(3)]
            if row[exercise]:
                assert sum(map(float, parts)) == float(row[exercise])
                assert row[f"{exercise} points"] == "6"
            else:
                assert parts == ["", "", ""] and row[f"{exercise} points"] == ""


def test_a_failure_of_the_grader_is_never_a_zero(tmp_path):
    write_reports([entry(graded=one_of_each(), canvas_id="7", moodle_id="8")], tmp_path)
    [row] = read_csv(tmp_path / "gradebook.csv")
    assert row["01_autoencoders/lost"] == "" and row["01_autoencoders"] == ""
    assert row["01_autoencoders/loop"] == "0"
    assert row["01_autoencoders remarks"] == (
        "loop TIMEOUT, recursion CRASH, outer LIMIT, lost INFRA_ERROR"
    )
    assert read_csv(tmp_path / "canvas.csv")[1]["01_autoencoders"] == ""
    [moodle] = read_csv(tmp_path / "moodle-01_autoencoders.csv")
    assert moodle["Grade"] == "" and moodle["Feedback comments"] == ""
    assert json.loads((tmp_path / "gradebook.json").read_text())["entries"][0]["total"] is None


def test_json_keeps_everything(tmp_path):
    entries = [*hostile_entries(), entry("ada", one_of_each(), notes=("two were handed in",))]
    write_reports(entries, tmp_path)
    content = (tmp_path / "gradebook.json").read_bytes()
    assert content.isascii()
    parsed = json.loads(content)
    assert parsed["schema"] == 1 and parsed["marks_count"] is True
    found = {
        Entry(
            Student(**item["student"]),
            item["file"],
            Graded.from_json(item["graded"]),
            tuple(item["notes"]),
        )
        for item in parsed["entries"]
    }
    assert found == set(entries)


@pytest.mark.parametrize("flag", ["has_hidden_cases", "is_sandboxed"])
def test_what_is_no_mark_is_not_sent_to_canvas_and_moodle(flag, tmp_path):
    graded = simple(answer="", **{flag: False})
    write_reports([entry(graded=graded, canvas_id="7", moodle_id="8")], tmp_path)
    assert read_csv(tmp_path / "canvas.csv")[1]["01_autoencoders"] == ""
    assert read_csv(tmp_path / "moodle-01_autoencoders.csv")[0]["Grade"] == ""
    [row] = read_csv(tmp_path / "gradebook.csv")
    assert row["01_autoencoders"] == "4"
    assert row["01_autoencoders remarks"] in ("feedback, not marks", "can be forged")
    assert json.loads((tmp_path / "gradebook.json").read_text())["marks_count"] is False


def test_canvas_layout(tmp_path):
    entries = [
        entry("Lovelace, Ada", simple(answer="x"), canvas_id="123"),
        entry("bob", simple("02_pca")),
        entry("Points Possible", simple("02_pca", right=0), canvas_id="12 or 13"),
    ]
    write_reports(entries, tmp_path, {("Lovelace, Ada", "01_autoencoders", "why"): Mark(2.5)})
    rows = list(csv.reader(io.StringIO((tmp_path / "canvas.csv").read_text(), newline="")))
    assert rows == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "01_autoencoders", "02_pca"],
        ["Points Possible", "", "", "", "", "9", "6"],
        ["bob", "", "", "bob", "", "", "4"],
        ["Lovelace, Ada", "123", "", "", "", "6.5", ""],
        ["points_possible", "", "", "Points Possible", "", "", "0"],
    ]


def test_moodle_layout(tmp_path):
    entries = [entry("Ada L", simple(answer="x"), moodle_id="42"), entry("bob", simple("02_pca"))]
    comment = {("Ada L", "01_autoencoders", "why"): Mark(1, "see <b>p. 3</b>")}
    paths = write_reports(entries, tmp_path, comment)
    assert {path.name for path in paths} >= {"moodle-01_autoencoders.csv", "moodle-02_pca.csv"}
    [row] = read_csv(tmp_path / "moodle-01_autoencoders.csv", "utf-8")
    assert row == {
        "Identifier": "Participant 42",
        "Full name": "Ada L",
        "Email address": "",
        "Status": "Submitted for grading",
        "Grade": "5",
        "Maximum grade": "9",
        "Grade can be changed": "Yes",
        "Last modified (submission)": "",
        "Last modified (grade)": "",
        "Feedback comments": "q-0: 2 of 2; q-1: 2 of 2; q-2: 0 of 2; "
        "why: 1 of 3 (see &lt;b&gt;p. 3&lt;/b&gt;)",
    }


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_no_cell_is_a_formula_whatever_separates_cells(delimiter, tmp_path):
    write_reports(hostile_entries(), tmp_path)
    for path in tmp_path.glob("*.csv"):
        text = path.read_bytes().decode("utf-8-sig")
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", text)
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            for cell in row:
                assert not re.match(r"[=+\-@\t\r]", cell), path
    assert len(read_csv(tmp_path / "gradebook.csv")) == len(HOSTILE)


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "＝1+1", "＋1", "－1", "＠A", "﹦1", "−1+A1"]


@pytest.mark.parametrize("reader", [",", ";", "\t", "|", ",;\t"])
@pytest.mark.parametrize("between", [";", ",", "\t", "|", "\n", "\r", "\u2028", "\x0b", "\x85"])
@pytest.mark.parametrize("quotes", ["", '"', '""', ' "', '" ', "\u3000", "\u00a0", "\u200b"])
def test_no_part_of_a_cell_is_a_formula_however_it_is_read(between, quotes, reader, tmp_path):
    """Readers take each separator, several at once, and quotes as text or as quotes."""
    answers = [
        begin + between + quotes + formula + end
        for formula in FORMULAS
        for begin, end in (("", ""), ("a", '"'), ('"', '",b'), ("x y", ' ;"'))
    ]
    written = as_csv([["a", answer, "b"] for answer in answers], ";" if reader == "," else ",")
    texts = [written]
    if len(reader) > 1:  # LibreOffice splits at all of them
        texts = [written.replace(",", ";").replace("\t", ";")]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        for text in texts:
            lines = io.StringIO(text, newline="")
            delimiter = reader if len(reader) == 1 else ";"
            for row in csv.reader(lines, delimiter=delimiter, quoting=quoting):
                for cell in row:
                    begun = cell.lstrip('" \u3000\u00a0\t')
                    assert begun[:1] not in "=+-@＝＋－＠﹦﹢﹣﹫−" or begun == "", (
                        cell,
                        text[:80],
                    )


def test_ordinary_text_keeps_its_look():
    for text in (
        "a, b; c",
        "from -1 to 1; 5, -3, +2.5",
        "x = 3, y = 4",
        "e.g. a|b",
        '"quoted", she',
    ):
        assert cell_of(text) in (text, f"'{text}")


def test_cells_are_guarded_once(tmp_path):
    for text in ('a;"=1', "=1", '"=1"', "'=1", "a,  @b"):
        once = cell_of(text)
        assert without_inner_formulas(once) == once


def test_two_results_for_one_are_refused(tmp_path):
    with pytest.raises(CourseError, match="Got two results for ada in 01_autoencoders:"):
        write_reports([entry(), entry(graded=simple(right=3))], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_reports_on_nobody_are_written_too(tmp_path):
    write_reports([], tmp_path)
    assert read_csv(tmp_path / "gradebook.csv") == []
    Outline((tmp_path / "report.html").read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------- names


def test_every_student_has_a_name_and_a_file_of_their_own(tmp_path):
    names = [
        *("ada", "Ada", "a/da", "a:da", "a\u200bda", "ada\u202e", "a da", "..", ".", "/", ""),
        *("CON", "con", "Con.x", "x" * 300, "x" * 301, "ä" * 300, "é", "e\u0301", "a_da", "A_DA"),
    ]
    entries = [entry(name) for name in names]
    entries += [entry("Kim, Lee", canvas_id="1"), entry("Kim, Lee", canvas_id="2")]
    entries += [entry("Kim, Lee (1)")]
    paths = write_reports(entries, tmp_path)
    files = [path for path in paths if path.parent.name == "feedback"]
    assert len(files) == len(entries)
    assert len({path.name.casefold() for path in files}) == len(entries)
    for path in files:
        assert path.is_file() and path.parent == tmp_path / "feedback"
        assert re.fullmatch(r"\w[\w.-]*\.html", path.name) and len(path.name.encode()) < 200
        assert path.stem.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt1")
    rows = [row["student"] for row in read_csv(tmp_path / "gradebook.csv")]
    assert len(set(rows)) == len(entries)
    assert {"Kim, Lee (1)", "Kim, Lee (2)"} <= set(rows)


def test_names_do_not_depend_on_the_order_of_entries(tmp_path):
    entries = hostile_entries()
    first = write_reports(entries, tmp_path / "one")
    second = write_reports(entries[::-1], tmp_path / "two")
    for one, two in zip(first, second, strict=True):
        assert one.name == two.name and one.read_bytes() == two.read_bytes()


def test_who_takes_the_name_that_another_one_would_get_gets_no_other_marks(tmp_path):
    write_reports([entry("ada", canvas_id="1"), entry("ada")], tmp_path)
    taken = {row["student"] for row in read_csv(tmp_path / "gradebook.csv")}
    entries = [entry("ada", canvas_id="1"), entry("ada"), *map(entry, sorted(taken))]
    write_reports(entries, tmp_path)
    rows = read_csv(tmp_path / "gradebook.csv")
    assert len({row["student"] for row in rows}) == len(entries)


def test_clean_text_is_what_it_looks_like():
    assert clean("a\u202eb\x00c\ud800\ufeffd\u200b") == "abcd"
    assert clean("a\r\nb\u2028c\td") == "a b c d"
    assert clean("a\r\n\n\n\nb\x1b", layout="lines") == "a\n\nb"
    assert clean("x" * 9, 5) == "xxxx…"
    assert len(clean("Z" + "\u0301" * 200)) <= 4
    assert clean("Łukasz Müller 李 👩\u200d🔬") == "Łukasz Müller 李 👩\u200d🔬"


# ---------------------------------------------------------------------------- marks by hand


def save_as(encoding, bom=""):
    return lambda text: (bom + text).encode(encoding)


@pytest.mark.parametrize(
    "save, delimiter, mark",
    [
        (save_as("utf-8-sig"), ",", "1.5"),
        (save_as("utf-8"), ";", "1,5"),
        (save_as("cp1252"), ";", "1,5"),
        (save_as("utf-16"), "\t", "1.5"),
        (save_as("utf-16-le"), ",", "1.50"),
        (save_as("utf-16-be"), ",", " 1.5 "),
        (lambda text: text.replace("\r\n", "\n").encode(), ",", "1.5"),
        (lambda text: ("sep=;\r\n" + text).encode(), ";", "1.5"),
    ],
)
def test_marks_survive_however_a_spreadsheet_saves_them(save, delimiter, mark, tmp_path):
    entries = [entry(name, simple(answer=f"by {name}")) for name in ("müller", "=ada", "007")]
    write_reports(entries, tmp_path)
    path = tmp_path / "marks.csv"
    comment = "Schön; but why?\nSee p. 3, “bits”"
    names = {"müller": mark, "'=ada": "0", "'007": "3"}
    fill_marks(
        path,
        {name: {"mark": given, "comment": comment} for name, given in names.items()},
        save,
        delimiter,
    )
    expected = {
        (name, "01_autoencoders", "why"): Mark(float(given), comment)
        for name, given in {"müller": 1.5, "=ada": 0, "007": 3}.items()
    }
    for _ in range(2):
        found = read_marks(path)
        assert {key: given.mark for key, given in found.items()} == {
            key: given.mark for key, given in expected.items()
        }
        assert {" ".join(given.comment.split()) for given in found.values()} == {
            " ".join(comment.split())
        }
        write_reports(entries, tmp_path)
    header = path.read_bytes().decode("utf-8-sig").partition("\r\n")[0]
    columns = ["student", "exercise", "question", "points", "mark", "comment", "answer", "note"]
    assert header.split(delimiter) == columns
    totals = {
        row["student"]: row["01_autoencoders"] for row in read_csv(tmp_path / "gradebook.csv")
    }
    assert totals == {"müller": "5.5", "'=ada": "4", "007": "7"}


def totals_in(folder) -> dict[str, str]:
    return {row["student"]: row["01_autoencoders"] for row in read_csv(folder / "gradebook.csv")}


def namesakes(*ids, name="ada", answers="xyz"):
    return [
        entry(name, simple(answer=answer), canvas_id=number)
        for number, answer in zip(ids, answers, strict=False)
    ]


def test_a_namesake_who_joins_or_leaves_gets_nobody_elses_mark(tmp_path):
    write_reports(namesakes("1"), tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "3", "comment": "of the first"}})
    write_reports(namesakes("1", "2"), tmp_path)
    assert totals_in(tmp_path) == {"ada (1)": "7", "ada (2)": "4"}
    assert "of the first" not in (tmp_path / "feedback" / "ada_2.html").read_text()
    fill_marks(tmp_path / "marks.csv", {"ada (2)": {"mark": "1"}})
    write_reports(namesakes("2", answers="y"), tmp_path)  # the first is gone, the second is "ada"
    assert totals_in(tmp_path) == {"ada": "5"}
    write_reports(namesakes("1", "2", "3"), tmp_path)
    assert totals_in(tmp_path) == {"ada (1)": "7", "ada (2)": "5", "ada (3)": "4"}


@pytest.mark.parametrize("between", [[], [entry("bob", simple(answer="x"))]], ids=["", "bob"])
def test_a_row_that_would_change_its_owner_stops_the_run(between, tmp_path):
    write_reports(namesakes("1"), tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "3"}})
    if between:
        write_reports(between, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for other in (namesakes("2"), [entry("ada", simple(answer="x"))]):
        with pytest.raises(CourseError) as caught:
            write_reports(other, tmp_path)
        message = str(caught.value)
        assert re.search(r"marks\.csv, row \d: this row was that of number 1 in Canvas", message)
        assert "Nothing was written." in message and "\n" not in message
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    text = (tmp_path / "marks.csv").read_text(encoding="utf-8-sig")
    (tmp_path / "marks.csv").write_text(text.replace("ada,", "ada of last year,"))
    write_reports(namesakes("2"), tmp_path)  # as the message says
    assert totals_in(tmp_path) == {"ada": "4"}
    assert "ada of last year" in (tmp_path / "marks.csv").read_text()


def test_an_empty_row_of_somebody_else_stops_nothing(tmp_path):
    write_reports(namesakes("1"), tmp_path)
    write_reports(namesakes("2"), tmp_path)
    assert [row["student"] for row in read_csv(tmp_path / "marks.csv")] == ["ada"]


def test_a_row_that_may_be_of_several_stops_the_run(tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text("student,exercise,question,mark\nada,01_autoencoders,why,1\n")
    with pytest.raises(CourseError, match=r"row 2: 'ada' may be each of ada \(1\), ada \(2\)"):
        write_reports(namesakes("1", "2"), tmp_path)
    path.write_text("student,exercise,question,mark\nada (2),01_autoencoders,why,1\n")
    write_reports(namesakes("1", "2"), tmp_path)
    assert totals_in(tmp_path) == {"ada (1)": "4", "ada (2)": "5"}


@pytest.mark.parametrize("platform", ["canvas", "moodle", "blackboard", "brightspace"])
def test_marks_follow_the_platforms_number_when_somebody_is_renamed(platform, tmp_path):
    number = {f"{platform}_id": "77"}
    write_reports([entry("Ada Byron", simple(answer="x"), **number)], tmp_path)
    fill_marks(tmp_path / "marks.csv", {"Ada Byron": {"mark": "3"}})
    write_reports([entry("Ada Lovelace", simple(answer="x"), **number)], tmp_path)
    assert totals_in(tmp_path) == {"Ada Lovelace": "7"}


def test_cleaned_names_that_are_alike_share_no_marks(tmp_path):
    write_reports([entry("a\u200bda", simple(answer="x"))], tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "3"}})
    write_reports(
        [entry("a\u200bda", simple(answer="x")), entry("ada", simple(answer="y"))], tmp_path
    )
    totals = totals_in(tmp_path)
    assert totals.pop("ada") == "4" and list(totals.values()) == ["7"]


def test_marks_without_the_memory_of_owners_go_by_name(tmp_path):
    write_reports(namesakes("1"), tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "3"}})
    for content in (None, b"", b"[]", b'{"owners": 3}', b"[" * 10_000):
        (tmp_path / "gradebook.json").unlink()
        if content is not None:
            (tmp_path / "gradebook.json").write_bytes(content)
        write_reports(namesakes("1"), tmp_path)
        assert totals_in(tmp_path) == {"ada": "7"}


def test_rows_of_students_who_are_gone_are_kept_at_the_end(tmp_path):
    entries = [entry(name, simple(answer="x")) for name in ("ada", "bob", "cleo")]
    write_reports(entries, tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "2", "comment": "-1 for style"}})
    write_reports(entries[1:], tmp_path)
    rows = read_csv(tmp_path / "marks.csv")
    assert [row["student"] for row in rows] == ["bob", "cleo", "ada"]
    assert "no such answer was graded" in rows[-1]["note"]
    write_reports(entries, tmp_path)
    assert read_marks(tmp_path / "marks.csv") == {
        ("ada", "01_autoencoders", "why"): Mark(2, "-1 for style")
    }
    assert {row["note"] for row in read_csv(tmp_path / "marks.csv")} == {""}


def test_a_namesake_in_another_case_changes_nobodys_name(tmp_path):
    write_reports([entry("ada", simple(answer="x"))], tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "2"}})
    write_reports([entry("ada", simple(answer="x")), entry("Ada", simple(answer="y"))], tmp_path)
    totals = {
        row["student"]: row["01_autoencoders"] for row in read_csv(tmp_path / "gradebook.csv")
    }
    assert totals == {"ada": "6", "Ada": "4"}


def test_columns_and_comments_of_the_marker_are_kept(tmp_path):
    write_reports([entry(graded=simple(answer="x"))], tmp_path)
    path = tmp_path / "marks.csv"
    text = path.read_bytes().decode("utf-8-sig").splitlines()
    path.write_text(f"{text[0]},Marker\n{text[1]},kim\n".replace(",,,x,", ",,look again,x,"))
    write_reports([entry(graded=simple(answer="x"))], tmp_path)
    [row] = read_csv(path)
    assert row["Marker"] == "kim" and row["comment"] == "look again" and row["mark"] == ""
    assert read_marks(path) == {}


def test_a_mark_for_another_answer_is_pointed_out(tmp_path):
    write_reports([entry(graded=simple(answer="Because."))], tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "2"}})
    for answer, note in (("Because.", ""), ("Because  \n.", ""), ("Why not?", "another one")):
        for _ in range(2):
            write_reports([entry(graded=simple(answer=answer))], tmp_path)
            [row] = read_csv(tmp_path / "marks.csv")
            assert row["mark"] == "2" and note in row["note"] and bool(note) == bool(row["note"])


@pytest.mark.parametrize("mark", ["-1", "3.5", "two", "nan", "inf", "1e1", "01. Mai", "=1+1", "٣"])
def test_a_mark_that_cannot_be_is_named_and_nothing_is_written(mark, tmp_path):
    entries = [entry(name, simple(answer="a\nb")) for name in ("ada", "bob")]
    write_reports(entries, tmp_path)
    fill_marks(tmp_path / "marks.csv", {"bob": {"mark": mark}})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for attempt in (
        lambda: write_reports([*entries, entry("cleo")], tmp_path),
        lambda: read_marks(tmp_path / "marks.csv"),
    ):
        with pytest.raises(CourseError) as caught:
            attempt()
        message = str(caught.value)
        assert "marks.csv, row 3 (bob / 01_autoencoders / why): got mark " in message
        assert repr(mark) in message and "expected a number from 0 to 3" in message
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before == after


def test_a_mark_above_the_points_is_found_also_where_the_table_says_otherwise(tmp_path):
    entries = [entry(graded=simple(answer="x"))]
    write_reports(entries, tmp_path)
    fill_marks(tmp_path / "marks.csv", {"ada": {"mark": "30", "points": "100"}})
    with pytest.raises(CourseError, match=r"got mark 30 for ada / .* expected 0 to 3"):
        write_reports(entries, tmp_path)


def test_two_marks_for_one_answer_are_refused(tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text("student,exercise,question,mark\nada,01,why,1\nada,01,why,2\n")
    with pytest.raises(CourseError, match=r"row 3 .* another one \(1\) further up"):
        read_marks(path)


@pytest.mark.parametrize(
    "content", [b"", b"student,mark\nada,1\n", b"PK\x03\x04\xff\xfe\x00", b"\n"]
)
def test_a_file_that_is_no_table_of_marks_is_left_alone(content, tmp_path):
    path = tmp_path / "marks.csv"
    path.write_bytes(content)
    with pytest.raises(CourseError, match=r"marks\.csv.* move (the file|it) away to begin anew"):
        write_reports([entry()], tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


def test_marks_from_elsewhere_take_precedence(tmp_path):
    entries = [entry(graded=simple(answer="x"))]
    key = ("ada", "01_autoencoders", "why")
    write_reports(entries, tmp_path, {key: Mark(1, "first")})
    assert read_marks(tmp_path / "marks.csv") == {key: Mark(1, "first")}
    write_reports(entries, tmp_path, {key: Mark(2)})
    assert read_marks(tmp_path / "marks.csv") == {key: Mark(2)}


# ---------------------------------------------------------------------------- pages


def test_hostile_text_becomes_neither_element_nor_attribute(tmp_path):
    write_reports(hostile_entries(), tmp_path / "hostile")
    harmless = [replace(item, file="file") for item in hostile_entries()]
    harmless = [
        Entry(
            Student(f"student {number}"),
            "file",
            replace(
                item.graded,
                notes=("note",),
                cell_errors=("error",),
                questions=tuple(
                    replace(one, message="m", called_with="c", hint="h", mistake="m", answer="a")
                    for one in item.graded.questions
                ),
            ),
        )
        for number, item in enumerate(harmless)
    ]
    write_reports(harmless, tmp_path / "harmless")
    expected = [Outline(page) for page in all_pages(tmp_path / "harmless").values()]
    tags = set().union(*(page.tags for page in expected))
    attributes = set().union(*(page.attributes for page in expected))
    found = all_pages(tmp_path / "hostile")
    assert len(found) == len(HOSTILE) + 1
    for page in found.values():
        outline = Outline(page)
        assert outline.tags <= tags and outline.attributes <= attributes
        assert len(outline.ids) == len(set(outline.ids))
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u2028]", page)
        assert all(re.match(r"#|feedback/[\w.%-]+\.html$", link) for link in outline.links)
    assert "<script>alert(1)</script>" in Outline(found["report"]).text  # as text


def test_links_of_the_class_report_lead_to_pages(tmp_path):
    from urllib.parse import unquote

    write_reports(hostile_entries(), tmp_path)
    outline = Outline((tmp_path / "report.html").read_text(encoding="utf-8"))
    links = {link for link in outline.links if not link.startswith("#")}
    assert len(links) == len(HOSTILE)
    assert all((tmp_path / unquote(link)).is_file() for link in links)


def test_pages_need_nothing_from_elsewhere_and_have_an_outline(tmp_path):
    entries = [entry("ada", one_of_each()), entry("ada", simple("02_pca")), entry("bob")]
    write_reports(entries, tmp_path)
    for page in all_pages(tmp_path).values():
        assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
        assert '<html lang="en">' in page and "prefers-color-scheme: dark" in page
        assert "@media print" in page and "width=device-width" in page
        assert re.search(r"<title>[^<]+</title>", page)
        outline = Outline(page)
        assert not outline.tags & {"script", "link", "iframe", "img", "form", "object"}
        assert not re.search(r"https?:|url\(|@import", page)
        assert outline.headings[0] == 1 and outline.headings.count(1) == 1
        steps = zip(outline.headings, outline.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps)


def test_feedback_says_what_works_first_and_then_what_to_look_at():
    text = feedback(one_of_each()).text
    order = [
        "2 of 7 questions are right: build on that.",
        "About cut",
        "3 of 3 examples and 4 of 4 hidden cases passed",
        "What to look at next",
        "About psnr",
        "Not right yet",
        "got 1.52794, expected 2.20435",
        "Called with x: float32 tensor (5,), peak: 1.",
        "Hint The natural logarithm gives nats.",
        "Example 3 : not passed",
        "3 of 4 hidden cases passed.",
        "All examples that you can see pass, and other inputs of the same kind do not.",
        "Took too long",
        "a loop whose end is never reached",
        "Its process died",
        "calls itself without end",
        "Asked for too much",
        "a list that grows in every round",
        "Answers in words",
        "Marked by hand",
        "Because a gradient of zero",
        "A person reads this one",
        "Not graded yet",
        "The grader itself failed here. That is not your doing and costs you nothing",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)
    assert "This is feedback, not marks" not in text and "forged" not in text


def test_verdicts_are_said_in_words():
    assert set(VERDICTS) == set(pages.WORDS)
    text = feedback(one_of_each()).text
    for verdict in VERDICTS:
        if verdict not in ("PASS", "UNREADABLE"):
            assert pages.WORDS[verdict] in text
    assert "INFRA" not in text


def test_feedback_tells_marks_and_comments():
    marks = {("ada", "01_autoencoders", "why"): Mark(2.5, "Which gradient?\n<b>Say</b> so.")}
    text = feedback(one_of_each(), marks=marks).text
    assert "2.5 of 3 points" in text
    assert "Comment Which gradient? <b>Say</b> so." in text
    assert "A person reads this one" not in text


def test_feedback_on_nothing_right_is_kind():
    text = feedback(simple(right=0)).text
    assert "No answer is right yet, and that is a place to start from." in text
    assert "What works" not in text
    assert "Well done!" in feedback(simple(right=3)).text


def test_a_notebook_that_could_not_be_read_gets_one_message():
    questions = tuple(result(f"q-{n}", "UNREADABLE", message="no JSON") for n in range(5))
    text = feedback(Graded("01", "Exercise 1", "ab", questions)).text
    assert text.count("no JSON") == 1 and "Open it in JupyterLab" in text
    assert "No answer is right" not in text


def test_notes_and_errors_of_the_notebook_are_told():
    graded = one_of_each(notes=("a check was changed",), cell_errors=("Cell 3: NameError",))
    text = feedback(graded, notes=("several were handed in",)).text
    assert "several were handed in" in text and "a check was changed" in text
    assert "Cell 3: NameError" in text and "ab" * 8 in text


@pytest.mark.parametrize("page", ["feedback", "class", "summary"])
def test_banners_say_what_is_no_mark(page, tmp_path):
    def text(**flags) -> str:
        entries = [entry(graded=simple(**flags)), entry("bob", simple(**flags))]
        if page == "summary":
            return summary_table(entries[:1]) + summary_table(entries)
        write_reports(entries, tmp_path)
        name = "report.html" if page == "class" else "feedback/ada.html"
        return Outline((tmp_path / name).read_text(encoding="utf-8")).text

    assert "is feedback, not marks" in text(has_hidden_cases=False)
    assert "can be forged" in text(is_sandboxed=False)
    assert not re.search("feedback, not marks|can be forged", text())


def test_hidden_cases_are_verdicts_only(tmp_path):
    """Two gradings whose hidden cases fail in different places look the same."""
    one = simple(right=0)
    other = replace(
        one,
        questions=tuple(
            replace(item, hidden_cases=item.hidden_cases[::-1]) for item in one.questions
        ),
    )
    assert one != other
    seen = []
    for graded in (one, other):
        write_reports([entry(graded=graded)], tmp_path)
        page = (tmp_path / "feedback" / "ada.html").read_text(encoding="utf-8")
        seen.append(page + summary_table([entry(graded=graded)]))
    assert seen[0] == seen[1]
    assert "3 of 4 hidden cases passed" in seen[0]


def test_class_report_shows_what_a_teacher_asks_for(tmp_path):
    unreadable = tuple(result(f"q-{n}", "UNREADABLE", message="no JSON") for n in range(3))
    entries = [
        entry("ada", one_of_each()),
        entry("bob", one_of_each(), notes=("two were handed in",)),
        entry("cleo", replace(one_of_each(), questions=one_of_each().questions[:3], sha256="c")),
        entry("dan", Graded("01_autoencoders", "Exercise 1: Autoencoders", "d", unreadable)),
    ]
    write_reports(entries, tmp_path)
    text = Outline((tmp_path / "report.html").read_text(encoding="utf-8")).text
    for words in (
        "4 students 4 submissions 1 could not be read 2 to be graded again",
        "To be graded again (2)",
        "the sandbox did not start",
        "Could not be read (1)",
        "Odd files and notebooks (1)",
        "two were handed in",
        "Identical files (1)",
        "01_autoencoders: ada , bob",
        "3 × nats The natural logarithm gives nats.",
        "took too long 2",
        "its process died 2",
        "5 of 7",
        "not readable",
        "3.2 s",
    ):
        assert words in text, words
    assert "3 of 3 not right yet 3" in text  # of those that were read


def test_questions_stand_hardest_first(tmp_path):
    entries = [entry(f"s{n}", simple(right=n)) for n in range(3)]
    write_reports(entries, tmp_path)
    text = Outline((tmp_path / "report.html").read_text(encoding="utf-8")).text
    table = text[text.index("hardest first") :]
    assert table.index("q-2") < table.index("q-1") < table.index("q-0")
    assert "3 of 3" in table and "2 of 3" in table and "1 of 3" in table


def test_histogram_counts_everybody_once(tmp_path):
    entries = [entry(f"s{n:02}", simple(right=n % 11, of=10)) for n in range(44)]
    write_reports(entries, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    label = re.search(r'aria-label="(Submissions by points in per cent\. [^"]+)"', page)[1]
    assert [int(count) for count in re.findall(r"%: (\d+)", label)] == [4] * 11
    assert "100 %: 4" in label and "90–99 %: 4" in label


def luminance(colour: str) -> float:
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme):
    colours = dict(re.findall(r"--(\w+): (#\w{6});", pages.CSS.split("@media")[scheme]))
    for ink in ("ink", "soft", "good", "bad", "other"):
        for paper in ("page", "card", "hint"):
            dark, light = sorted(luminance(colours[name]) for name in (ink, paper))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


# ---------------------------------------------------------------------------- summary and exit


def test_summary_of_a_student_has_a_row_for_each_question():
    summary = summary_table([entry(graded=one_of_each()), entry(graded=simple("02_pca"))])
    assert summary.count("\n| About") == 12
    assert "### Exercise 1&#58; Autoencoders: 5 of 17, and to be graded again" in summary
    assert "**Hint:** The natural logarithm gives nats" in summary
    assert "the grader failed here, not you" in summary


def test_summary_of_a_class_has_a_row_for_each_student():
    summary = summary_table([entry("ada"), entry("bob", simple("02_pca", right=0))])
    assert "| Student | 01&#95;autoencoders | 02&#95;pca |" in summary
    assert "| ada | 4 of 6 | – |" in summary and "| bob | – | 0 of 6 |" in summary


def test_summary_is_text_whatever_stands_in_it():
    entries = hostile_entries()
    tables = [summary_table(entries)] + [summary_table([item]) for item in entries]
    for table in tables:
        without_ours = re.sub(r"\*\*(Hint:|\d+ to be graded again:)\*\*|<br>", "", table)
        for line in without_ours.splitlines():
            line = re.sub(r"&#\d+;", "", line)
            assert not re.search(r"[`<>*\[\]$@\\~]", line)
            if line.startswith("| "):
                assert line.count("|") == (3 if len(table) == len(tables[0]) else 5)


@pytest.mark.parametrize("students", [1, 3000])
def test_summary_is_cut_at_60_kb(students):
    if students == 1:
        questions = tuple(result(f"q-{n}", "FAIL", message="`" * 400) for n in range(200))
        entries = [entry(graded=Graded("01", "Exercise 1", "ab", questions))]
    else:
        entries = [entry(f"{'x' * 60}{n}") for n in range(students)]
    summary = summary_table(entries)
    assert 50_000 < len(summary.encode()) <= 60_000
    assert re.search(r"… and \d+ more lines", summary)


def test_reaching_a_share_of_the_points():
    entries = [entry("ada", simple(right=2, of=4)), entry("bob", simple(right=3, of=4))]
    assert reaches(entries, 50) and not reaches(entries, 51)
    assert reaches(entries[1:], 75) and reaches(entries, 0)
    assert not reaches([], 0)
    assert not reaches([entry(graded=Graded("01", "Exercise 1", "ab", ()))], 0)
    assert not reaches([entry(graded=one_of_each())], 50)
    assert reaches([entry(graded=Graded("01", "E", "a", (result("why", "BY_HAND"),)))], 100)
    tenth = Graded("01", "E", "a", tuple(result(f"q{n}", "PASS", 1) for n in range(7)))
    assert reaches([entry(graded=tenth)], 100)


@pytest.mark.slow
def test_a_large_class_takes_seconds(tmp_path):
    questions = one_of_each().questions + tuple(result(f"q-{n}") for n in range(3))
    entries = [
        entry(f"student {number:04}", Graded(exercise, exercise, f"{number:064x}", questions))
        for number in range(1000)
        for exercise in ("01_autoencoders", "02_pca")
    ]
    began = time.perf_counter()
    write_reports(entries, tmp_path)
    assert time.perf_counter() - began < 10
