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
    put(tmp_path, "ada_1_2_report.pdf", "bob_3_4_report.pdf", f"bob_3_5_{ONE}", "readme.md")
    put(tmp_path, "carl_5_6_w.zip", content=make_zip({"a.py": b""}))
    put(tmp_path, "Dora_7_assignsubmission_file/a.tar.gz")
    archive = tmp_path / "class.zip"
    inside = {"ada_1_2_report.pdf": b"", "readme.md": b""}
    for one in (*find(tmp_path), *find(put(tmp_path / "z", "c.zip", content=make_zip(inside)))):
        assert one.problem or one.student == Student("bob", "3")
    assert [one.student.name for one in find(tmp_path)][:4] == ["Dora", "ada", "bob", "carl"]
    archive.write_bytes(make_zip(inside))
    [one] = find(archive)
    assert one.student == Student("ada", "1") and "is no notebook; expected" in one.problem


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
