"""What students handed in: whose it is, what is refused, and that nobody is lost."""

import io
import os
import random
import struct
import time
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.grading.classroom import archives, submissions
from course_lib.grading.classroom.results import Student
from course_lib.grading.classroom.submissions import (
    Submission,
    SubmissionError,
    choose,
    find_submissions,
)

EXERCISES = ("01_autoencoders", "06_bits_and_distortion", "07_balle2017")
ONE = "01_autoencoders.ipynb"


def make_zip(members, method=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of names (or ZipInfo) and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return buffer.getvalue()


def put(folder, *names, content=b"{}"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def find(path, **options):
    return find_submissions(path, exercises=EXERCISES, **options)


def names(path) -> list[str]:
    return [one.student.name for one in find(path)]


def by_file(path) -> dict[str, Submission]:
    return {one.file: one for one in find(path)}


# ------------------------------------------------------------------------------- naming


@pytest.mark.parametrize(
    ("files", "students"),
    [
        ([f"ada/{ONE}"], ["ada"]),
        (["ada/homework.ipynb"], ["ada"]),
        ([f"ada/{ONE}", "ada/07_balle2017.ipynb"], ["ada", "ada"]),
        ([f"ada/{ONE}", f"bob/{ONE}"], ["ada", "bob"]),
        ([f"class/ada/{ONE}", f"class/bob/{ONE}"], ["ada", "bob"]),
        (["week1/ada.ipynb", "week1/bob.ipynb"], ["ada", "bob"]),
        (["ada_01_autoencoders.ipynb", "01_autoencoders_bob.ipynb"], ["bob", "ada"]),
        (["Ada-01-Autoencoders (2).ipynb", "01 autoencoders-Copy1 bob.ipynb"], ["bob", "Ada"]),
        (["ada.lovelace/a.ipynb", "ada.byron/a.ipynb"], ["ada.byron", "ada.lovelace"]),
        ([f"submitted/ada/01_autoencoders/{ONE}"], ["ada"]),
        ([f"submitted/ada/a/{ONE}", f"submitted/bob/a/{ONE}"], ["ada", "bob"]),
        ([f"submitted/ada/a/{ONE}", f"source/a/{ONE}"], ["source", "ada"]),
        ([f"01_autoencoders/ada/{ONE}", "07_balle2017/ada/b.ipynb"], ["ada", "ada"]),
        ([f"ada/01_autoencoders/{ONE}", "ada/07_balle2017/07_balle2017.ipynb"], ["ada", "ada"]),
        (["7/a.ipynb", "12/a.ipynb"], ["12", "7"]),
    ],
)
def test_places_tell_the_student(files, students, tmp_path):
    put(tmp_path, *files)
    assert names(tmp_path) == students
    archive = tmp_path / "class.zip"
    archive.write_bytes(make_zip(dict.fromkeys(files, b"{}")))
    assert names(archive) == students


def test_canvas_file_names_tell_login_id_attempt_and_lateness(tmp_path):
    put(tmp_path, f"babbagecharles_9_77_{ONE}")
    put(tmp_path, "lovelaceada_LATE_12345_678910_01_autoencoders-2.ipynb")
    first, second = find(tmp_path)
    assert first.student == Student("babbagecharles", canvas_id="9")
    assert (first.attempt, first.notes) == (0, ())
    assert second.student == Student("lovelaceada", canvas_id="12345")
    assert (second.attempt, second.notes) == (2, ("handed in late, says Canvas",))


def test_a_year_in_a_name_is_not_taken_for_canvas_ids(tmp_path):
    put(tmp_path, "ada_2024_01_autoencoders.ipynb")
    assert [one.student for one in find(tmp_path)] == [Student("ada_2024")]


def test_moodle_folders_tell_name_and_participant(tmp_path):
    put(tmp_path, f"Ada Lovelace_123_assignsubmission_file/{ONE}")
    put(tmp_path, f"Zoë O'Neil_4_assignsubmission_file_/sub/{ONE}")
    assert [one.student for one in find(tmp_path)] == [
        Student("Ada Lovelace", moodle_id="123"),
        Student("Zoë O'Neil", moodle_id="4"),
    ]


def test_a_zip_of_students_zips_as_canvas_makes_it(tmp_path):
    inner = make_zip({f"work/{ONE}": b"{}"})
    archive = tmp_path / "submissions.zip"
    archive.write_bytes(make_zip({"lovelaceada_1_2_my work-1.zip": inner, "bob_3_4_x.zip": inner}))
    bob, ada = find(archive)
    assert (bob.student, ada.student) == (Student("bob", "3"), Student("lovelaceada", "1"))
    assert ada.file == f"submissions.zip/lovelaceada_1_2_my work-1.zip/work/{ONE}"
    assert ada.attempt == 1 and ada.read() == b"{}"


def test_a_single_students_zip_from_canvas_keeps_its_name(tmp_path):
    archive = tmp_path / "lovelaceada_1_2_work.zip"
    archive.write_bytes(make_zip({"a/bob_3_4_x.ipynb": b"{}"}))
    for path in (archive, tmp_path):
        assert [one.student.name for one in find(path)] == ["lovelaceada"]


@pytest.mark.parametrize("name", [f"ada_1_2_{ONE}", f"Ada_1_assignsubmission_file/{ONE}"])
def test_nobody_takes_anothers_name_from_within_an_own_folder_or_zip(name, tmp_path):
    put(tmp_path, "bob.zip", content=make_zip({name: b"{}"}))
    put(tmp_path, f"carl/submitted/{name}", "dora.ipynb")
    bob, carl, _ = find(tmp_path)
    assert (bob.student, carl.student) == (Student("bob"), Student("carl"))
    assert "the folder or zip around it counts" in bob.notes[0] and bob.notes == carl.notes


def test_a_single_file_is_named_by_its_stem_or_its_folder(tmp_path):
    put(tmp_path / "carl", ONE, "ada_01_autoencoders.ipynb")
    [one] = find(tmp_path / "carl" / ONE)
    assert (one.student.name, one.file) == ("carl", ONE)
    assert names(tmp_path / "carl" / "ada_01_autoencoders.ipynb") == ["ada"]


def test_folders_in_a_given_folder_called_submitted_are_students(tmp_path):
    put(tmp_path, "submitted/ada/first/a.ipynb", "submitted/ada/second/b.ipynb")
    assert names(tmp_path / "submitted") == names(tmp_path) == ["ada", "ada"]


def test_a_given_student_wins(tmp_path):
    put(tmp_path, f"ada_LATE_1_2_{ONE}", f"bob/{ONE}")
    found = find(tmp_path, student="Carl")
    assert {one.student for one in found} == {Student("Carl")}
    assert len(found) == 2 and not any(one.notes for one in found)


# ------------------------------------------------------------------------------- finding


def test_order_is_that_of_places_whatever_the_file_system_says(tmp_path):
    put(tmp_path, *[f"{name}/{ONE}" for name in ("b", "a-1", "a", "c")])
    put(tmp_path, "a.zip", content=make_zip({ONE: b"{}"}))
    files = [one.file for one in find(tmp_path)]
    assert files == [f"{name}/{ONE}" for name in ("a", "a-1", "a.zip", "b", "c")]


def test_hidden_files_checkpoints_and_mac_forks_are_left_out(tmp_path):
    hidden = [".ipynb_checkpoints/a.ipynb", "__MACOSX/ada/._a.ipynb", ".git/a.ipynb", "._a.ipynb"]
    put(tmp_path, *hidden, f"ada/{ONE}")
    (tmp_path / "bob.zip").write_bytes(make_zip(dict.fromkeys([*hidden, ONE], b"{}")))
    assert [one.file for one in find(tmp_path)] == [f"ada/{ONE}", f"bob.zip/{ONE}"]


def test_missing_paths_and_places_without_notebooks_are_refused(tmp_path):
    with pytest.raises(SubmissionError, match=r"does not exist. Give a notebook \(.ipynb\)"):
        find(tmp_path / "none")
    put(tmp_path, "sub/readme.md")
    with pytest.raises(SubmissionError, match=r"No notebook in .* Expected files \*.ipynb"):
        find(tmp_path)
    with pytest.raises(SubmissionError, match="neither a notebook"):
        find(tmp_path / "sub" / "readme.md")
    put(tmp_path, "a.zip", content=make_zip({"readme.md": b""}))
    with pytest.raises(SubmissionError, match="No notebook in"):
        find(tmp_path / "a.zip")


def test_whoever_hands_in_another_kind_of_file_is_listed(tmp_path):
    canvas, moodle = tmp_path / "canvas", tmp_path / "moodle"
    put(canvas, "ada_1_2_report.pdf", "bob_3_4_report.pdf", f"bob_3_5_{ONE}", "readme.md")
    put(canvas, "carl_5_6_w.zip", content=make_zip({"a.py": b""}))
    put(moodle, "Dora_7_assignsubmission_file/a.tar.gz", f"Eve_8_assignsubmission_file/{ONE}")
    archive = tmp_path / "class.zip"
    inside = {"ada_1_2_report.pdf": b"", "readme.md": b""}
    for one in (*find(canvas), *find(put(tmp_path / "z", "c.zip", content=make_zip(inside)))):
        assert one.problem or one.student == Student("bob", "3")
    assert names(canvas) == ["ada", "bob", "carl"]
    assert names(moodle) == ["Dora", "Eve"]
    archive.write_bytes(make_zip(inside))
    [one] = find(archive)
    assert one.student == Student("ada", "1") and "is no notebook; expected" in one.problem


NOTEBOOK = b'{"cells": [{"cell_type": "code", "source": "x"}], "nbformat": 4}'


@pytest.mark.parametrize("is_zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("name", "content", "is_read"),
    [
        ("01_autoencoders.ipynb.txt", NOTEBOOK, True),
        ("01_autoencoders.ipynb.json", NOTEBOOK, True),
        ("01_autoencoders.json", NOTEBOOK, True),
        ("01_autoencoders", NOTEBOOK, True),
        ("01_autoencoders.IPYNB", NOTEBOOK, True),
        ("01_autoencoders.ipynb~", NOTEBOOK, True),
        ("01_autoencoders.ipynb.download", NOTEBOOK, True),
        ("01_autoencoders(1).ipynb", NOTEBOOK, True),
        ("Kopie von 01_autoencoders.ipynb", NOTEBOOK, True),
        ("01_autoencoders - Copy (2).ipynb", NOTEBOOK, True),
        ("answers.py", NOTEBOOK, True),  # whatever it is called
        ("marked.txt", b"\xef\xbb\xbf \n" + NOTEBOOK, True),
        ("utf16.txt", NOTEBOOK.decode().encode("utf-16"), True),
        ("old.txt", b'{"worksheets": [{"cells": [{"cell_type": "code"}]}]}', True),
        ("work.zip.txt", make_zip({ONE: NOTEBOOK}), True),
        ("work", make_zip({ONE: NOTEBOOK}), True),
        ("01_autoencoders.ipynb", make_zip({ONE: NOTEBOOK}), True),
        ("work.zip", NOTEBOOK, True),
        ("report.pdf", b"%PDF-1.7", False),
        ("answers.py", b"import torch", False),
        ("answers.docx", make_zip({"word/document.xml": b""}), False),
        ("expected.json", b'{"cells": [{"id": "encode"}]}', False),
        ("work.rar", b"Rar!", False),
        ("work.tar.gz", b"\x1f\x8b", False),
        ("picture.HEIC", b"x", False),
        ("link.url", b"[InternetShortcut]", False),
        ("empty.txt", b"", False),
        ("no suffix", b"hello", False),
        ("Ünïcode 答案.pages", b"x", False),
    ],
)
def test_everybody_is_in_the_tables_whatever_the_file_is_called(
    name, content, is_read, is_zipped, tmp_path
):
    put(tmp_path / "class", f"alan/{name}", content=content)
    put(tmp_path / "class", f"ada/{ONE}", content=NOTEBOOK)
    path = tmp_path / "class"
    if is_zipped:
        path = tmp_path / "class.zip"
        path.write_bytes(make_zip({f"alan/{name}": content, f"ada/{ONE}": NOTEBOOK}))
    _, alan = find(path)
    assert alan.student == Student("alan")
    if is_read:
        assert alan.read() == NOTEBOOK or b"cell_type" in alan.read().replace(b"\0", b"")
        assert bool(alan.notes) != name.lower().endswith(".ipynb") or content[:2] == b"PK"
    else:
        assert "is no notebook; expected a file *.ipynb" in alan.problem


def test_flat_files_of_other_kinds_are_their_owners(tmp_path):
    put(tmp_path, "ada_01_autoencoders.ipynb", "bob.pdf", "carl_01_autoencoders.docx", "dora.txt")
    put(tmp_path, "ada_report.pdf", "README.md", "index.html", "grades.csv")
    assert names(tmp_path) == ["ada", "bob", "carl", "dora"]


def test_empty_folders_and_folders_of_hidden_files_are_listed(tmp_path):
    put(tmp_path, f"ada/{ONE}", "bob/.ipynb_checkpoints/01_autoencoders-checkpoint.ipynb")
    (tmp_path / "carl").mkdir()
    (tmp_path / "ada" / "data").mkdir()
    ada, bob, carl = find(tmp_path)
    assert not ada.problem and "empty" in bob.problem and "hidden files" in carl.problem


def test_other_files_beside_a_notebook_are_no_submissions_of_their_own(tmp_path):
    put(tmp_path, f"ada/{ONE}", "ada/report.pdf", "ada/data/table.csv", "bob/a.pdf", "bob/b.pdf")
    assert names(tmp_path) == ["ada", "bob"]


# ------------------------------------------------------------------------------- platforms

CANVAS = ["lovelaceada_12345_678910_01_autoencoders-2.ipynb", "bob_LATE_777_678911_work.zip"]
MOODLE = [f"Ada Lovelace_123_assignsubmission_file/{ONE}", f"Bob B_4_assignsubmission_file_/{ONE}"]
BLACKBOARD = [
    f"Homework 1_ada_attempt_2026-11-02-09-30-00_{ONE}",
    "Homework 1_ada_attempt_2026-11-02-09-30-00.txt",
    "Homework 1_b_ob_attempt_2026-11-01-23-59-59_work.ipynb",
]
BRIGHTSPACE = [
    f"11111-987 - Ada Lovelace - Nov 2, 2026 1023 AM/{ONE}",
    f"22222-987 - Bob O'Neil-Smith - Nov 1, 2026 1159 PM - {ONE}",
    "index.html",
]
PLATFORMS = {
    "Canvas": (CANVAS, [Student("bob", "777"), Student("lovelaceada", "12345")]),
    "Moodle": (MOODLE, [Student("Ada Lovelace", "", "123"), Student("Bob B", "", "4")]),
    "Blackboard": (
        BLACKBOARD,
        [Student("ada", blackboard_id="ada"), Student("b_ob", blackboard_id="b_ob")],
    ),
    "Brightspace": (
        BRIGHTSPACE,
        [
            Student("Ada Lovelace", brightspace_id="11111"),
            Student("Bob O'Neil-Smith", brightspace_id="22222"),
        ],
    ),
    "nbgrader": (
        [f"submitted/ada/01_autoencoders/{ONE}", f"submitted/bob/01_autoencoders/{ONE}"],
        [Student("ada"), Student("bob")],
    ),
    "nbgrader's course": (
        [f"submitted/ada/ps1/{ONE}", f"source/ps1/{ONE}", f"autograded/ada/ps1/{ONE}"],
        [Student("ada"), Student("autograded"), Student("source")],
    ),
    "GitHub Classroom": (
        [f"01-autoencoders-submissions/01-autoencoders-{who}/{ONE}" for who in ("ada", "b-ob")],
        [Student("ada"), Student("b-ob")],
    ),
}


@pytest.mark.parametrize("wrap", ["folder", "zip", "zip in a folder", "folder in a zip"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platforms_names_tell_who_it_is(platform, wrap, tmp_path):
    files, students = PLATFORMS[platform]
    contents = {
        file: make_zip({ONE: NOTEBOOK}) if file.endswith(".zip") else NOTEBOOK for file in files
    }
    path = tmp_path / "downloads"
    if wrap == "folder":
        for file, content in contents.items():
            put(path, file, content=content)
    else:
        inside = "submissions/" if wrap == "folder in a zip" else ""
        archive = make_zip({inside + file: content for file, content in contents.items()})
        put(path, "submissions.zip", content=archive)
        path = path / "submissions.zip" if wrap != "zip in a folder" else path
    found = find(path)
    assert sorted({one.student for one in found}, key=lambda one: one.name) == students
    assert not any(one.problem for one in found if one.file.endswith("ipynb"))


def test_attempts_are_in_the_order_of_the_platforms_dates(tmp_path):
    names = [f"HW_ada_attempt_2026-11-0{day}-09-30-00_{ONE}" for day in (2, 1)] + [
        f"HW_bob_attempt_2026-10-31-09-30-00_{ONE}"
    ]
    put(tmp_path / "blackboard", *names)
    ada = [one for one in find(tmp_path / "blackboard") if one.student.name == "ada"]
    assert choose(ada).file == names[0]
    names = [
        f"1-2 - Ada A - {when}/{ONE}" for when in ("Nov 2, 2026 112 PM", "Nov 2, 2026 1101 AM")
    ]
    put(tmp_path / "brightspace", *names)
    assert choose(find(tmp_path / "brightspace")).file == names[0]


@pytest.mark.parametrize(
    ("files", "students"),
    [
        (["hw_1_2025_ada.ipynb"], ["hw_1_2025_ada"]),
        (["hw_1_2025_ada.ipynb", "hw_1_2025_bob.ipynb"], ["hw_1_2025_ada", "hw_1_2025_bob"]),
        (["ps_3_14_bob.ipynb", "ps_3_15_carl.ipynb"], ["ps_3_14_bob", "ps_3_15_carl"]),
        (["hw_1_2_ada.ipynb", "dora.ipynb"], ["dora", "hw_1_2_ada"]),
        ([*CANVAS[:1], "dora.ipynb"], ["dora", CANVAS[0][:-6].replace("_01_autoencoders-2", "")]),
        (["a_1_11_x.ipynb", "b_1_12_x.ipynb"], ["a_1_11_x", "b_1_12_x"]),  # two logins, one number
        (["ada_attempt_2.ipynb", "bob_attempt_1.ipynb"], ["ada_attempt_2", "bob_attempt_1"]),
        (["1-2 - Ada.ipynb", "2-2 - Bob.ipynb"], ["1-2 - Ada", "2-2 - Bob"]),
        ([f"submitted/{ONE}", f"ada/{ONE}"], ["ada", "submitted"]),
        ([f"submitted/ada/{ONE}", f"ada/{ONE}"], ["ada", "submitted"]),
        ([f"submitted/ada/01_autoencoders/{ONE}", f"bob/{ONE}"], ["bob", "submitted"]),
        ([f"ada/submitted/bob/{ONE}", f"bob/{ONE}"], ["ada", "bob"]),
        ([f"ada/bob/{ONE}"], ["ada"]),  # a lone folder in a folder
        (["ada/bob/a.ipynb", f"ada/bob/{ONE}"], ["ada", "ada"]),
        ([f"ada/bob/{ONE}", "ada/x.ipynb"], ["ada", "ada"]),
        ([f"ada/bob/{ONE}", f"ada/{ONE}", f"carl/{ONE}"], ["ada", "ada", "carl"]),
        ([f"ada/bob_1_2_{ONE}"], ["ada"]),
        ([f"ada/Bob_1_assignsubmission_file/{ONE}"], ["ada"]),
        ([f"ada/{ONE}", "ada/Copy of 01_autoencoders.ipynb", "ada/Untitled3.ipynb"], ["ada"] * 3),
        (["ada/01_autoencoders - Kopie.ipynb", f"ada/{ONE}"], ["ada"] * 2),
        (["ada - Copy.ipynb", "bob.ipynb"], ["ada", "bob"]),
        ([f"01_autoencoders/ada/{ONE}", f"01_autoencoders/bob/{ONE}"], ["ada", "bob"]),
        ([f"week1/group2/ada/{ONE}", f"week1/group2/bob/{ONE}"], ["ada", "bob"]),
        ([f"ada.lovelace/{ONE}", f"ada.byron/{ONE}"], ["ada.byron", "ada.lovelace"]),
        (["ada.lovelace.ipynb.txt", "ada.byron.ipynb"], ["ada.byron", "ada.lovelace"]),
    ],
)
def test_no_name_is_taken_for_another_students(files, students, tmp_path):
    put(tmp_path, *files, content=NOTEBOOK)
    assert sorted(names(tmp_path)) == students
    assert not any(one.student.number for one in find(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="needs names of bytes")
def test_names_that_are_no_unicode_stay_different(tmp_path):
    for name in (b"M\xfcller", b"M\xf6ller", b"M\x81ller", b"M\x8fller", b"M\x07ller", b"M_ller"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        with open(os.path.join(folder, ONE.encode()), "wb") as file:
            file.write(NOTEBOOK)
    found = find(tmp_path)
    assert len({one.student for one in found}) == len({one.file for one in found}) == 6
    assert {"Müller", "Möller"} <= {one.student.name for one in found}
    assert all(one.file.isprintable() and one.read() == NOTEBOOK for one in found)


def test_one_name_in_two_spellings_of_unicode_is_two_folders(tmp_path):
    put(tmp_path, f"Zo\u00eb/{ONE}", f"Zoe\u0308/{ONE}")
    assert names(tmp_path) == ["Zo\u00eb", "Zo\u00eb (2)"]


def test_a_files_content_is_read_when_it_is_asked_for(tmp_path):
    put(tmp_path, f"ada/{ONE}")
    [one] = find(tmp_path)
    put(tmp_path, f"ada/{ONE}", content=b'{"new": 1}')
    assert one.read() == b'{"new": 1}'
    (tmp_path / "ada" / ONE).unlink()
    with pytest.raises(SubmissionError, match=f"^ada/{ONE}: it cannot be opened: No such file"):
        one.read()


def test_an_archive_that_was_exchanged_is_not_read_by_mistake(tmp_path):
    path = tmp_path / "class.zip"
    path.write_bytes(make_zip({f"ada/{ONE}": b"1", f"bob/{ONE}": b"2"}))
    ada, bob = find(path)
    assert (ada.read(), bob.read()) == (b"1", b"2")
    path.write_bytes(make_zip({f"bob/{ONE}": b"2"}))
    with pytest.raises(SubmissionError, match="has changed since"):
        ada.read()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_links_and_pipes_are_listed_and_never_followed(tmp_path):
    secret = put(tmp_path / "elsewhere", "secret.ipynb") / "secret.ipynb"
    folder = put(tmp_path / "class", f"ada/{ONE}")
    (folder / "bob").mkdir()
    (folder / "bob" / ONE).symlink_to(secret)
    (folder / "carl.ipynb").symlink_to(tmp_path / "elsewhere")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.ipynb")
    found = by_file(folder)
    assert set(found) == {f"ada/{ONE}", f"bob/{ONE}", "carl.ipynb", "pipe.ipynb"}
    assert "symbolic link" in found[f"bob/{ONE}"].problem
    assert "symbolic link" in found["carl.ipynb"].problem
    assert "no regular file" in found["pipe.ipynb"].problem
    with pytest.raises(SubmissionError, match="symbolic link"):
        found[f"bob/{ONE}"].read()
    (folder / "ada" / ONE).unlink()
    (folder / "ada" / ONE).symlink_to(secret)
    with pytest.raises(SubmissionError, match="symbolic link"):
        found[f"ada/{ONE}"].read()


def test_a_folder_that_may_not_be_read_is_listed(tmp_path, monkeypatch):
    put(tmp_path, f"ada/{ONE}", f"bob/{ONE}")
    scan = os.scandir

    def refuse(folder):
        if folder.name == "bob":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr("course_lib.grading.classroom.submissions.os.scandir", refuse)
    ada, bob = find(tmp_path)
    assert bob.student == Student("bob") and not ada.problem
    assert "cannot be opened: Permission denied" in bob.problem


def test_too_large_a_file_is_listed_with_its_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MAX_NOTEBOOK_BYTES", 100)
    put(tmp_path, "ada.ipynb", content=bytes(101))
    put(tmp_path, "bob.ipynb", content=bytes(100))
    ada, bob = find(tmp_path)
    assert ada.problem.startswith("it is larger than") and bob.read() == bytes(100)
    put(tmp_path, "bob.ipynb", content=bytes(101))  # grown since
    with pytest.raises(SubmissionError, match="it is larger than"):
        bob.read()


# ------------------------------------------------------------------------------- archives


def in_class(tmp_path, content) -> tuple[Submission, Submission]:
    """What comes of a zip of Bob's, and of Carl's notebook beside it; in a folder and in a zip."""
    put(tmp_path, "class/bob.zip", content=content)
    put(tmp_path, "class/carl.ipynb")
    put(tmp_path, "class.zip", content=make_zip({"bob.zip": content, "carl.ipynb": b"{}"}, 0))
    inside = find(tmp_path / "class.zip")
    found = find(tmp_path / "class")
    assert [one.student.name for one in found] == ["bob"] * (len(found) - 1) + ["carl"]
    assert [one.problem for one in inside] == [one.problem for one in found]
    assert [one.file for one in inside] == [f"class.zip/{one.file}" for one in found]
    assert found[-1].read() == inside[-1].read() == b"{}"
    return found[:-1]


def problem_of(tmp_path, content) -> str:
    [one] = in_class(tmp_path, content)
    with pytest.raises(SubmissionError):
        one.read()
    return one.problem


@pytest.mark.parametrize(
    "content", [b"", b"PK\x05\x06", b"Rar!", make_zip({ONE: b"{}"})[:-30], bytes(5000)]
)
def test_damaged_archives_are_listed(content, tmp_path):
    assert "damaged, or no zip" in problem_of(tmp_path, content)


def test_archives_without_notebooks_are_listed(tmp_path):
    assert "holds no notebook" in problem_of(tmp_path, make_zip({"main.py": b""}))


def test_a_damaged_member_is_found_when_it_is_read(tmp_path):
    content = bytearray(make_zip({ONE: b"a" * 50, "06_bits_and_distortion.ipynb": b"good"}, 0))
    content[content.index(b"aaaa")] = 0
    bad, good = in_class(tmp_path, bytes(content))
    with pytest.raises(SubmissionError, match="damaged within its archive: Bad CRC-32"):
        bad.read()
    assert good.read() == b"good"


def test_a_member_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MAX_NOTEBOOK_BYTES", 1000)
    assert "it is larger than" in problem_of(tmp_path, make_zip({ONE: os.urandom(1001)}))


def test_no_more_is_unpacked_than_the_table_of_contents_says(tmp_path):
    content = make_zip({ONE: bytes(10 * 2**20)})
    lie = content.replace(struct.pack("<I", 10 * 2**20), struct.pack("<I", 100))
    assert lie != content
    [one] = in_class(tmp_path, lie)
    with pytest.raises(SubmissionError, match="damaged within its archive"):
        one.read()


def test_a_members_compression_ratio_is_bounded(tmp_path):
    bomb = make_zip({ONE: bytes(2 * 2**20), "b.txt": os.urandom(100_000)})
    assert "more than 200 times its packed size" in problem_of(tmp_path, bomb)
    [one] = in_class(tmp_path, make_zip({ONE: bytes(2**20)}))  # small, so harmless
    assert len(one.read()) == 2**20


def test_members_that_share_their_data_are_counted_each(tmp_path):
    """An archive of overlapping members, which unpacks to many times what each ratio tells."""
    data = os.urandom(200_000)
    content = make_zip({f"{index:04}.ipynb": data if not index else b"" for index in range(300)}, 0)
    start = content.index(b"PK\x01\x02")
    table, first = content[start:], content[start : start + 46]
    for index in range(1, 300):
        at = table.index(b"%04d.ipynb" % index) - 46
        entry = bytearray(table[at : at + 46])
        entry[16:28] = first[16:28]  # the checksum and both sizes
        entry[42:46] = bytes(4)  # where the data lie
        table = table[:at] + entry + table[at + 46 :]
    assert "unpacks to 57.22 MiB" in problem_of(tmp_path, content[:start] + table)


def test_the_sum_of_an_archives_members_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 2500)
    content = make_zip({f"{index}.ipynb": os.urandom(1000) for index in range(3)})
    put(tmp_path, "class/bob.zip", content=content)
    put(tmp_path, "class/carl.ipynb")
    bob, carl = find(tmp_path / "class")
    assert "unpacks to" in bob.problem and not carl.problem


def test_the_sum_counts_what_nested_archives_hold(tmp_path, monkeypatch):
    inner = make_zip(
        dict.fromkeys([f"{index}.ipynb" for index in range(50)], random.Random(6).randbytes(300))
    )
    outer = make_zip({"inner.zip": inner})
    put(tmp_path, "class.zip", content=make_zip({"bob.zip": outer, "carl.ipynb": b"{}"}))
    ratio = len(inner) // len(outer)  # of each archive by itself at most
    monkeypatch.setattr(archives, "MIN_SUSPECT_BYTES", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 3 * ratio)
    assert len(find(tmp_path / "class.zip")) == 51
    monkeypatch.setattr(archives, "MAX_RATIO", ratio + 3)
    bob, carl = find(tmp_path / "class.zip")
    assert bob.file == "class.zip/bob.zip" and "unpacks to" in bob.problem
    assert not carl.problem


def test_the_number_of_members_and_notebooks_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    many = make_zip({f"{index}.txt": b"" for index in range(21)} | {ONE: b"{}"})
    assert "has 22 members; expected at most 20" in problem_of(tmp_path, many)
    monkeypatch.setattr(archives, "MAX_NOTEBOOKS", 5)
    many = make_zip({f"{index}.ipynb": b"" for index in range(6)})
    assert "more than 5 notebooks" in problem_of(tmp_path, many)


def test_a_large_table_of_contents_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 2000)
    many = make_zip({f"{index}.txt": b"" for index in range(100)})
    put(tmp_path, "class/bob.zip", content=many)
    put(tmp_path, "class/carl.ipynb")
    bob, carl = find(tmp_path / "class")
    assert "table of contents has 0.00495 MiB" in bob.problem and not carl.problem


def test_zips_are_looked_through_two_levels_down_and_no_further(tmp_path):
    content = make_zip({ONE: b"deep"})
    for _ in range(2):
        content = make_zip({"a.zip": content})
    put(tmp_path, "class.zip", content=content)
    [one] = find(tmp_path / "class.zip")
    assert one.read() == b"deep" and one.file == f"class.zip/a.zip/a.zip/{ONE}"
    put(tmp_path, "class.zip", content=make_zip({"ada.zip": content, "bob.ipynb": b"{}"}))
    ada, bob = find(tmp_path / "class.zip")
    assert "a zip within 3 others; expected at most 2" in ada.problem and not bob.problem
    assert ada.student.name == "ada"


def test_encrypted_members_are_listed(tmp_path):
    content = bytearray(make_zip({ONE: b"{}"}))
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(signature) + offset] |= 1
    assert "it is encrypted" in problem_of(tmp_path, bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bound_are_refused(method, tmp_path):
    assert "packed in an unusual way" in problem_of(tmp_path, make_zip({ONE: b"{}"}, method))


def test_links_within_archives_are_not_followed(tmp_path):
    link = zipfile.ZipInfo(ONE)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert "symbolic link" in problem_of(tmp_path, make_zip([(link, "/etc/passwd")]))


def test_a_folder_that_is_named_like_a_notebook_is_none(tmp_path):
    [one] = in_class(tmp_path, make_zip({"a.ipynb/": b"", f"a.ipynb/{ONE}": b"{}"}))
    assert one.file.endswith(f"a.ipynb/{ONE}")


@pytest.mark.parametrize(
    "name",
    [
        "../../x.ipynb",
        "/etc/x.ipynb",
        "..\\..\\x.ipynb",
        "C:\\temp\\x.ipynb",
        "a/../../x.ipynb",
        "x.ipynb\0.txt",
        "\x1b[31m\n\u202ex.ipynb",
        "~/x.ipynb",
        "=1+1/x.ipynb",
        "n" * 5000 + "/x.ipynb",
    ],
)
def test_names_in_archives_are_made_harmless(name, tmp_path):
    content = make_zip({"A" * len(name): b"{}"}, 0).replace(b"A" * len(name), name.encode()[:9999])
    if len(name.encode()) != len(name):
        content = make_zip({name: b"{}"}, 0)
    put(tmp_path, "class.zip", content=content)
    [one] = find(tmp_path / "class.zip")
    parts = one.file.split("/")
    assert one.file.isprintable() and parts[0] == "class.zip" and parts[-1].endswith("x.ipynb")
    for part in (*parts, one.student.name):
        assert part not in ("", ".", "..") and "\\" not in part and len(part) <= 255
    assert "/" not in one.student.name and one.student.name.isprintable()
    assert one.read() == b"{}"
    assert bool(one.notes) == any(odd in name for odd in ("..", "/etc", "C:", "\0"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_both_found_and_told_apart(tmp_path):
    first, second = in_class(tmp_path, make_zip([(ONE, b"first"), (ONE, b"second")]))
    assert (first.read(), second.read()) == (b"first", b"second")
    assert second.file == f"{first.file} (2)"
    assert second.notes == ("the archive has another file of this name",)


def test_backslashes_in_archives_from_windows_are_folders(tmp_path):
    name = f"ada/{ONE}"
    content = make_zip({name: b"{}", f"bob/{ONE}": b"{}"}).replace(b"ada/", b"ada\\")
    put(tmp_path, "class.zip", content=content)
    assert names(tmp_path / "class.zip") == ["ada", "bob"]


def test_a_class_of_a_thousand_is_listed_fast(tmp_path):
    put(tmp_path, "class.zip", content=make_zip({f"s{i:04}/{ONE}": b"{}" for i in range(1000)}))
    start = time.perf_counter()
    found = find(tmp_path / "class.zip")
    assert len({one.student for one in found}) == 1000
    assert time.perf_counter() - start < 2


def test_long_names_do_not_keep_the_patterns_busy(tmp_path):
    for name in ("_1" * 120, "1_" * 120, "_1" * 60 + "_assignsubmission_fil" * 5, "01_" * 80):
        put(tmp_path, f"{name}.ipynb")
    start = time.perf_counter()
    assert len(find(tmp_path)) == 4
    assert time.perf_counter() - start < 1


GOOD = make_zip({f"ada/{ONE}": b"{}" * 50, "bob.zip": make_zip({ONE: b"{}"})})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
def test_no_damaged_archive_raises_or_loses_the_file(tmp_path_factory, changes):
    content = bytearray(GOOD)
    for at, value in changes:
        content[at] = value
    path = tmp_path_factory.getbasetemp() / "fuzz" / "class.zip"
    put(path.parent, "class.zip", content=bytes(content))
    try:
        found = find(path)
    except SubmissionError as error:
        assert "No notebook in" in str(error)
        return
    assert found
    for one in found:
        assert one.file.isprintable() and one.student.name
        try:
            assert len(one.read()) <= 200
        except SubmissionError as error:
            assert one.file in str(error)


# ------------------------------------------------------------------------------ choosing


def submission(file, **more):
    return Submission(Student("ada"), file, **more)


def test_the_newest_is_chosen_by_canvas_number_then_time_then_name():
    a, b = submission("a.ipynb", modified=5), submission("b.ipynb", modified=5)
    assert choose([a, b]).file == choose([b, a]).file == "b.ipynb"
    later = submission("a2.ipynb", modified=6)
    assert choose([later, b]).file == "a2.ipynb"
    second = submission("a-1.ipynb", attempt=1, modified=1, notes=("odd",))
    chosen = choose([second, later, b])
    assert (chosen.file, chosen.student) == ("a-1.ipynb", Student("ada"))
    note = "3 were handed in; this is the newest, not graded: a2.ipynb, b.ipynb"
    assert chosen.notes == ("odd", note)


def test_a_single_submission_is_chosen_as_it_is_and_a_readable_one_before_another():
    one = submission("a.ipynb")
    assert choose([one]) is one
    broken = submission("b.ipynb", attempt=3, problem="it is encrypted")
    assert choose([one, broken]).file == "a.ipynb"
    assert len(choose([submission("x" * 150), submission("y" * 150)]).notes[0]) == 200


def test_canvas_resubmissions_are_chosen_by_number_not_by_spelling(tmp_path):
    for attempt in ("", "-2", "-10"):
        put(tmp_path, f"ada_1_{len(attempt) + 5}_01_autoencoders{attempt}.ipynb")
    assert choose(find(tmp_path)).file.endswith("-10.ipynb")
