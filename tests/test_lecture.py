"""What lectures repeat is right: links, times, files at equal bytes, curves, tables."""

import json

import numpy as np
import pytest

from course_lib import codecs, evaluation, images, lecture
from course_lib.errors import InputError


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Three chapters, the middle one planned; one of them measured."""

    def row(number, slug, needs, state, **more):
        return {
            "number": number,
            "slug": slug,
            "title": slug.title(),
            "hook": "Why?",
            "needs": needs,
            "system": None,
            "paper": None,
            "exercise": slug if number else None,
            "state": state,
        } | more

    rows = [
        row(0, "start", [], "ready", background="some Python"),
        row(1, "middle", [0], "planned"),
        row(2, "end", [0, 1], "ready"),
    ]
    times = {"notebooks/end.ipynb": {"seconds": 12.4, "cores": 2}}
    (tmp_path / "results").mkdir()
    (tmp_path / "chapters.json").write_text(json.dumps(rows))
    (tmp_path / "results" / "notebook_times.json").write_text(json.dumps(times))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))


@pytest.fixture
def small(monkeypatch):
    """Photographs of 48×64 pixels, so that no test codes a large one."""
    monkeypatch.setattr(lecture, "photograph", lambda name: images.photograph(name)[:48, :64])
    for function in (lecture._original, lecture.coded, lecture.within):
        function.cache_clear()
    yield
    for function in (lecture._original, lecture.coded, lecture.within):
        function.cache_clear()


# A lecture's place in the course


def test_links_lead_over_planned_chapters_to_ready_ones(course):
    assert lecture.links(0) == "[02 · End →](end.ipynb)"
    assert lecture.links(2) == "[← 00 · Start](start.ipynb) · [Exercise 02](../exercises/end.ipynb)"


def test_about_gives_the_measured_time_and_the_needs_of_the_table(course):
    assert lecture.about(2) == (
        "**Time:** all cells run in about 10 s on 2 processor cores, as measured. "
        "**You need:** [00 · Start](start.ipynb), and, once written, 01 · Middle."
    )
    assert lecture.about(0) == "**Time:** not yet measured. **You need:** some Python."


def test_both_ends_of_a_lecture_have_the_same_links(course):
    cells = lecture.generated(2)
    assert cells["links"] == cells["links-end"] == lecture.links(2)
    assert cells["about"] == lecture.about(2)


def test_links_of_an_exercise_lead_to_its_lecture_and_its_neighbours(course):
    rows = json.loads((images.data_dir() / "chapters.json").read_text())
    rows[1]["state"] = "ready"
    (images.data_dir() / "chapters.json").write_text(json.dumps(rows))
    assert lecture.exercise_links(1) == (
        "[Lecture 01 · Middle](../notebooks/middle.ipynb) · [Exercise 02 →](end.ipynb)"
    )
    line = "[← Exercise 01](middle.ipynb) · [Lecture 02 · End](../notebooks/end.ipynb)"
    assert lecture.generated_in_exercise(2) == {"links": line, "links-end": line}


@pytest.mark.parametrize(
    "function", [lecture.links, lecture.exercise_links, lecture.about, lecture.generated]
)
def test_unknown_chapters_are_refused(course, function):
    with pytest.raises(InputError, match="No chapter 3; expected 0 to 2"):
        function(3)


def test_links_of_the_course_lead_to_files():
    for chapter in lecture.chapters():
        if chapter.state == "ready":
            links = lecture.links(chapter.number)
            for target in links.split("](")[1:]:
                folder = images.data_dir().parent / "notebooks"
                assert (folder / target.partition(")")[0]).is_file()


def test_both_ends_of_every_exercise_lead_to_files():
    for chapter in lecture.chapters():
        if chapter.state == "ready" and chapter.exercise:
            path = images.data_dir().parent / "exercises" / f"{chapter.exercise}.ipynb"
            _, first, *_, last = json.loads(path.read_text())["cells"]
            line = lecture.exercise_links(chapter.number)
            assert "".join(first["source"]) == "".join(last["source"]) == line
            for target in line.split("](")[1:]:
                assert (path.parent / target.partition(")")[0]).is_file()


def test_table_of_chapters_is_linked_as_seen_from_a_folder(course):
    ours, top = lecture.chapter_table(), lecture.chapter_table(".")
    assert "| 02 | [End](end.ipynb) | Why? | 00, 01 | 12 s | [02](../exercises/end.ipynb) |" in ours
    assert "| [End](notebooks/end.ipynb) |" in top
    assert "| [02](exercises/end.ipynb) |" in top
    assert "| 01 | Middle | Why? | 00 | planned |  |" in top


# Files of one picture


def test_a_file_is_coded_once_and_knows_its_rate(small):
    file = lecture.coded("chelsea", "jpeg", 50)
    assert lecture.coded("chelsea", "jpeg", 50) is file
    original = images.photograph("chelsea")[:48, :64]
    assert file.data == codecs.encode(original, "jpeg", 50) and file.quality == 50
    assert np.array_equal(file.picture, codecs.decode(file.data))
    assert file.bpp == 8 * len(file.data) / (48 * 64)
    assert file.psnr == lecture.psnr(original, file.picture)
    assert np.isnan(file.ms_ssim_db)  # too small for five scales
    assert file.caption == f"JPEG: {len(file.data):,} bytes\n{file.psnr:.1f} dB"


def test_remembered_pictures_cannot_be_changed(small):
    with pytest.raises(ValueError, match="read-only"):
        lecture.coded("chelsea", "jpeg", 50).picture[0] = 0


def test_rivals_take_no_more_bytes_and_stay_away_where_they_cannot(small):
    file = lecture.coded("chelsea", "jpeg", 50)
    rivals = lecture.at_equal_bytes(file, ["jpeg2000", "webp"])
    assert rivals[0] is file
    assert [rival.codec for rival in rivals] == ["jpeg", "jpeg2000", "webp"]
    assert all(len(rival.data) <= len(file.data) for rival in rivals)
    tiny = lecture.within("chelsea", "jpeg2000", 200)
    assert lecture.at_equal_bytes(tiny, ["jpeg"]) == [tiny]  # JPEG's header alone is larger


def test_nearest_is_no_further_from_the_rate_than_any_other_place(small):
    files = [lecture.coded("chelsea", "webp", q) for q in codecs.measured_at("webp")]
    found = lecture.nearest("chelsea", "webp", 1.5)
    assert abs(found.bpp - 1.5) == min(abs(file.bpp - 1.5) for file in files)


def test_crops_begin_with_the_original_and_have_a_caption_each(small):
    file = lecture.coded("chelsea", "jpeg", 50)
    pictures, captions = lecture.crops([file], np.s_[8:24, 16:48])
    assert [picture.shape for picture in pictures] == [(16, 32, 3)] * 2
    assert np.array_equal(pictures[0], images.photograph("chelsea")[8:24, 16:48])
    assert captions == ["Original", file.caption]


def test_files_of_different_photographs_have_no_original_in_common(small):
    files = [lecture.coded(name, "jpeg", 50) for name in ("chelsea", "coffee")]
    for chosen, found in ((files, "chelsea, coffee"), ([], "no files")):
        with pytest.raises(InputError, match=f"Got {found}; expected files of one photograph"):
            lecture.crops(chosen)


def test_a_drawn_page_goes_where_photographs_go():
    page = lecture.page()
    assert page.shape == (384, 512, 3) and page.dtype == np.uint8
    assert len(np.unique(page.reshape(-1, 3), axis=0)) > 6  # six colours, white, and soft letters
    assert lecture.coded(lecture.PAGE, "jpeg", 90).psnr > 25


# Curves and tables


def test_curve_of_a_photograph_holds_its_files(small):
    curve = lecture.curve("chelsea", "jpeg", [80, 20])
    files = [lecture.coded("chelsea", "jpeg", quality) for quality in (20, 80)]
    assert curve.codec == "jpeg" and not curve.published
    assert curve.bpp.tolist() == [file.bpp for file in files]
    assert curve.psnr.tolist() == [file.psnr for file in files]


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000"])
def test_curve_has_about_ten_of_the_places_where_a_codec_is_measured(small, codec):
    assert 5 <= len(lecture.curve("chelsea", codec).bpp) <= 10


def test_kodak_curves_are_those_of_the_files():
    ours, published = lecture.kodak_curve("jpeg"), lecture.kodak_curve("balle2017", published=True)
    assert ours.codec == "jpeg" and not ours.published
    assert published.codec == "balle2017" and published.published
    with pytest.raises(InputError, match="No published curve of 'jpeg'"):
        lecture.kodak_curve("jpeg", published=True)


def curve(factor: float) -> evaluation.Curve:
    """A curve that needs ``factor`` times the bits."""
    bpp, quality = np.array([0.25, 0.5, 1.0, 2.0]), np.array([28.0, 31.0, 34.0, 37.0])
    return evaluation.Curve("test", factor * bpp, quality, quality - 20, codec=None)


def test_table_of_bd_rates_says_more_and_less():
    rows = {"half": curve(0.5), "more": curve(1.2)}
    assert lecture.bd_table(rows, curve(1)).splitlines() == [
        "| bits at equal |  PSNR | MS-SSIM |",
        "| :------------ | ----: | ------: |",
        "| half          | -50 % |   -50 % |",
        "| more          | +20 % |   +20 % |",
    ]
    own = lecture.bd_table(rows, {"half": curve(0.5), "more": curve(1)}).splitlines()
    assert own[2:] == ["| half          |  +0 % |    +0 % |", "| more          | +20 % |   +20 % |"]


def test_table_of_bd_rates_has_a_dash_where_nothing_compares():
    far = evaluation.Curve("far", *np.array([[1.0, 2], [50, 60], [50, 60]]), codec=None)
    assert lecture.bd_table({"far": far}, curve(1)).endswith("|    – |       – |")


def test_table_of_estimates_splits_a_file_into_header_and_what_was_coded():
    assert lecture.estimate_table({"cat": (8000, 1040, 30)}).splitlines() == [
        "| bytes | estimated | coded | header |  file | coded - estimated |",
        "| :---- | --------: | ----: | -----: | ----: | ----------------: |",
        "| cat   |   1,000.0 | 1,010 |     30 | 1,040 |            +1.00% |",
    ]
