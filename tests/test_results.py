"""Files of results: checked whole, merged without loss, compared on the same pictures alone."""

import json
import multiprocessing
import os
import random
import re
import time

import numpy as np
import pytest

from course_lib import results
from course_lib.cli import main
from course_lib.errors import CourseError, CourseWarning, InputError
from course_lib.evaluation import (
    KODAK,
    KODAK_PIXELS,
    Curve,
    evaluate,
    is_on_kodak,
    measured_curve,
    published_curve,
    sha256_of_pixels,
)
from course_lib.images import image_set, photograph, write_image
from course_lib.lecture import bd_table
from course_lib.locks import Busy, locked
from course_lib.results import add_point, load_results, place_of, points_of

SETTINGS = {"codec": "jpeg", "images": ["a", "b"], "sha256_of_pixels": "0" * 64}
POINT = {"quality": 1, "bpp": 0.3, "psnr": 33.0, "ms_ssim": 0.9, "payload_bpp": 0.2}
POINT |= {"encode_seconds": 0.1, "each": {"bytes": [3, 4], "psnr": [33.0, None]}}


def mine(**changes) -> dict:
    return {"settings": dict(SETTINGS), "points": [dict(POINT)]} | changes


def file(tmp_path, results) -> str:
    path = tmp_path / "mine.json"
    text = results if isinstance(results, str | bytes) else json.dumps(results)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def point(**changes) -> dict:
    return mine(points=[dict(POINT, quality=7), POINT | changes])


def settings(**changes) -> dict:
    return mine(settings=SETTINGS | changes)


def without(results: dict, *path: str) -> dict:
    place = results
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return results


# ------------------------------------------------------------------------------ by hand

DEEP = '{"settings": ' * 100_000
WRONG = {
    "nothing": ("", "expected JSON"),
    "no JSON": ("{'settings': 1}", "line 1 column 2"),
    "a comma too many": ('{"settings": {},}', "expected JSON"),
    "a comment": ('{} // "settings"', "Extra data"),
    "a list": ("[]", "a list of 0; expected an object with settings and points"),
    "a text": ('"settings"', "expected an object with settings"),
    "no text": (b"\xff\xfe\x00", "expected JSON"),
    "latin-1": ('{"é": 1}'.encode("latin-1"), "expected JSON"),
    "too deep": (DEEP, "nested too deeply"),
    "deep lists": ("[" * 100_000, "nested too deeply"),
    "too large": (b" " * 2_000_001, "more than 2,000,000 bytes"),
    "twice the same": ('{"settings": {}, "settings": {}}', '"settings" stands twice'),
    "NaN": ('{"settings": {}, "points": [{"bpp": NaN}]}', "NaN is no number of JSON"),
    "Infinity": ('{"points": [-Infinity]}', "-Infinity is no number of JSON"),
    "no settings": (without(mine(), "settings"), "settings is null or missing; expected an object"),
    "settings of another kind": (mine(settings=[1]), "settings is a list of 1"),
    "no codec": (without(mine(), "settings", "codec"), "settings.codec is null or missing"),
    "a codec of another kind": (settings(codec=7), "settings.codec is 7; expected the name"),
    "no name": (settings(codec=" "), 'settings.codec is " "'),
    "no images": (without(mine(), "settings", "images"), "settings.images is null or missing"),
    "no image": (settings(images=[]), "settings.images is a list of 0"),
    "images as text": (settings(images="kodak"), 'settings.images is "kodak"; expected a list'),
    "an image as number": (settings(images=["a", 2]), "settings.images[1] is 2"),
    "a short hash": (settings(sha256_of_pixels="ab"), "64 hexadecimal digits"),
    "a hash as number": (settings(sha256_of_pixels=10**63), "64 hexadecimal digits"),
    "no points": (without(mine(), "points"), "points is null or missing; expected a list"),
    "no point": (mine(points=[]), "points is a list of 0; expected a list of points"),
    "points as object": (mine(points={"1": POINT}), "points is an object"),
    "a point as list": (mine(points=[[1, 2]]), "points[0] is a list of 2; expected an object"),
    "a quality twice": (
        mine(points=[POINT, POINT]),
        "points[1] has the quality 1, which points[0]",
    ),
    "each as list": (point(each=[1]), "points[1].each is a list of 1; expected an object"),
    "too few of each": (point(each={"psnr": [33]}), "a value for each of 2 pictures"),
    "one of each wrong": (point(each={"psnr": [33, "x"]}), 'points[1].each.psnr[1] is "x"'),
    "bytes of a half": (point(each={"bytes": [1, 1.5]}), "points[1].each.bytes[1] is 1.5"),
}
for name in ("quality", "bpp", "psnr", "ms_ssim"):
    WRONG[f"no {name}"] = (
        without(point(), "points", 1, name),
        f"points[1] has no {name}; expected",
    )
    for value in ("33", True, [1], {}, -2, 1e300, 10**400):
        said = f"points[1].{name} is "
        WRONG[f"{name} {str(value)[:9]!r}"] = (point(**{name: value}), said)
for value in (None, 0, -0.0, "0.3"):
    WRONG[f"bpp {value!r}"] = (point(bpp=value), "points[1].bpp is ")
for value in (None, 1.5, 1.0, "1"):
    WRONG[f"quality {value!r}"] = (point(quality=value), "points[1].quality is ")
WRONG["a rate beyond numbers"] = (json.dumps(point()).replace("0.3", "1e999"), "points[0].bpp is ")
WRONG["digits without end"] = (json.dumps(point()).replace("0.3", "9" * 5000), "expected")


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_file_is_one_line_that_names_the_place(
    case, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(results, "MAX_BYTES", 2_000_000)
    content, message = WRONG[case]
    path = file(tmp_path, content)
    assert main(["plot", str(path), "--anchor", "jpeg", "-o", str(tmp_path / "x.png")]) == 1
    error = capsys.readouterr().err
    assert message in error and f"{path} is not a file of results: " in error
    assert error.count("\n") == 1 and len(error) < 600 and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_files_are_read_in_every_encoding_of_json(encoding, tmp_path):
    results = settings(images=["é", "λ"])
    path = file(tmp_path, json.dumps(results, ensure_ascii=False).encode(encoding))
    assert load_results(path) == results


def test_a_file_needs_no_more_than_a_person_would_write(tmp_path):
    points = [{"quality": 1, "bpp": 1, "psnr": 30, "ms_ssim": None}]
    results = {"settings": {"codec": "my codec", "images": ["a"]}, "points": points}
    curve = measured_curve(load_results(file(tmp_path, results)))
    assert (curve.bpp, curve.psnr, curve.pictures) == ([1.0], [30.0], None)
    with pytest.raises(InputError, match="have no payload_bpp"):
        measured_curve(results, payload_only=True)


@pytest.mark.parametrize("name", ["nowhere.json", ".", "a/b\0c"])
def test_what_cannot_be_opened_is_said_so(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Cannot read"):
        load_results(name)


def test_a_device_without_an_end_has_one(tmp_path):
    if not os.path.exists("/dev/zero"):
        pytest.skip("this system has no /dev/zero")
    with pytest.raises(InputError, match="more than"):
        load_results("/dev/zero")


def test_the_order_of_points_does_not_matter(tmp_path):
    points = [
        POINT | {"quality": q, "bpp": q / 10, "payload_bpp": 2 - q / 10, "psnr": 30 + q}
        for q in range(1, 9)
    ]
    random.shuffle(points)
    curve = measured_curve(load_results(file(tmp_path, mine(points=points))))
    assert curve.bpp.tolist() == [q / 10 for q in range(1, 9)] and (np.diff(curve.psnr) > 0).all()
    payload = measured_curve(mine(points=points), payload_only=True)
    assert (np.diff(payload.bpp) > 0).all() and (np.diff(payload.psnr) < 0).all()


def test_an_ms_ssim_that_was_rounded_above_one_is_one(tmp_path):
    assert load_results(file(tmp_path, point(ms_ssim=1.000001)))["points"][1]["ms_ssim"] == 1


# ------------------------------------------------------------------------------ merging


def add(out, settings, qualities):
    for quality in qualities:
        add_point(out, settings, POINT | {"quality": quality})


def test_many_processes_that_add_points_lose_none(tmp_path):
    out = tmp_path / "r.json"
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    workers = [
        context.Process(target=add, args=(out, SETTINGS, range(start, 40, 4))) for start in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(points_of(out, SETTINGS)) == list(range(40))
    assert os.listdir(tmp_path) == ["r.json"]  # and no lock is left behind


def test_a_point_that_is_measured_again_takes_the_place_of_the_old(tmp_path):
    out = tmp_path / "r.json"
    add(out, SETTINGS, [1, 2])
    add_point(out, SETTINGS, POINT | {"psnr": 35.0})
    assert [p["psnr"] for p in load_results(out)["points"]] == [35.0, 33.0]


def test_sets_of_one_name_stand_beside_each_other(tmp_path):
    out = tmp_path / "r.json"
    others = [SETTINGS | {"sha256_of_pixels": digit * 64} for digit in "012"]
    for round in (1, 2):
        for other in others:
            add(out, other, [round])
    assert place_of(out, others[0]) == out
    assert len({place_of(out, other) for other in others}) == len(os.listdir(tmp_path)) == 3
    assert all(sorted(points_of(out, other)) == [1, 2] for other in others)


def test_what_older_versions_measured_is_moved_aside_and_named(tmp_path):
    out = tmp_path / "r.json"
    old, new = (SETTINGS | {"versions": {"torch": v}} for v in ("1", "2"))
    add(out, old, [1, 2, 3])
    with pytest.warns(CourseWarning, match=r"is kept as .*r-[0-9a-f]{8}\.json"):
        add(out, new, [2])
    assert sorted(points_of(out, new)) == [2] and place_of(out, new) == out
    assert sorted(points_of(out, old)) == [1, 2, 3]


def test_a_machine_is_no_reason_to_measure_anew(tmp_path):
    out = tmp_path / "r.json"
    add(out, SETTINGS | {"machine": {"cores": 2}}, [1])
    add(out, SETTINGS | {"machine": {"cores": 8}}, [2])
    assert sorted(points_of(out, SETTINGS)) == [1, 2]


def test_a_file_that_holds_no_results_is_not_replaced(tmp_path):
    out = file(tmp_path, "my notes")
    with pytest.raises(InputError, match="not a file of results"):
        add_point(out, SETTINGS, POINT)
    assert out.read_text() == "my notes" and os.listdir(tmp_path) == ["mine.json"]


def test_a_lock_dies_with_its_holder_and_is_not_waited_for_forever(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        with pytest.raises(Busy, match="Another process"), locked(path):
            pass
        began = time.monotonic()
        with pytest.raises(Busy), locked(path, wait_seconds=0.1):
            pass
        assert time.monotonic() - began < 60
    path.touch()  # as a holder leaves it that was killed
    with locked(path):
        assert path.exists()
    assert not path.exists()
    with pytest.raises(CourseError, match="Cannot write into"), locked(file(tmp_path, "") / "lock"):
        pass


# ------------------------------------------------------------------------------ measuring


@pytest.fixture
def sets(tmp_path):
    """Two folders of one name, whose pictures have the same names and sizes."""
    for place, name in (("one", "chelsea"), ("two", "coffee")):
        write_image(tmp_path / place / "pics" / "a.png", photograph(name)[:64, :80])
    return [tmp_path / place / "pics" for place in ("one", "two")]


def course_evaluate(folder, out, *codecs, qualities=(20, 50, 80)):
    words = ["evaluate", "--codecs", *codecs, "--images", folder, "--out", out, "--workers", 1]
    return main([str(word) for word in [*words, "--qualities", *qualities]])


def test_two_sets_of_one_name_are_both_kept_and_named(sets, tmp_path, capsys):
    for folder in (*sets, sets[0]):
        assert course_evaluate(folder, tmp_path / "r", "jpeg") == 0
    said = capsys.readouterr()
    first, second, third = said.out.splitlines()
    assert first == third != second and "r/pics-jpeg.json" in first
    assert said.err.count("holds results of other pictures, and stays as it is") == 1
    files = sorted((tmp_path / "r").iterdir())
    assert len(files) == 2 and all(len(load_results(f)["points"]) == 3 for f in files)


def test_curves_of_different_pictures_are_not_compared(sets, tmp_path, capsys):
    for folder, out in zip(sets, ("x", "y"), strict=True):
        assert course_evaluate(folder, tmp_path / out, "jpeg", "jpeg-plain") == 0
    one, two = tmp_path / "x" / "pics-jpeg-plain.json", tmp_path / "y" / "pics-jpeg.json"
    capsys.readouterr()
    assert main(["plot", str(one), str(two), "-o", str(tmp_path / "x.png")]) == 1
    error = capsys.readouterr().err
    assert f"{one} and {two} were measured on different pictures" in error
    assert error.count("\n") == 1 and not (tmp_path / "x.png").exists()
    curves = [measured_curve(load_results(path)) for path in (one, two)]
    with pytest.raises(InputError, match="different pictures"):
        curves[0].bd_rate(curves[1], "psnr")


def test_a_file_that_does_not_say_its_pictures_is_compared_with_a_note(sets, tmp_path, capsys):
    assert course_evaluate(sets[0], tmp_path / "r", "jpeg-plain") == 0
    points = [POINT | {"quality": q, "bpp": q / 4, "psnr": 25 + 3 * q} for q in (1, 2, 3, 4)]
    path = file(tmp_path, without(mine(points=points), "settings", "sha256_of_pixels"))
    capsys.readouterr()
    words = ["plot", str(tmp_path / "r" / "pics-jpeg-plain.json"), str(path)]
    assert main([*words, "-o", str(tmp_path / "x.png")]) == 0
    error = capsys.readouterr().err
    assert f"note: {path} does not say by sha256_of_pixels" in error and error.count("\n") == 1


def test_the_same_pictures_under_other_names_are_the_same_pictures(tmp_path):
    cut = photograph("chelsea")[:40, :50]
    write_image(tmp_path / "a" / "x.png", cut)
    write_image(tmp_path / "b" / "y.bmp", cut)
    results = [
        evaluate("jpeg", [20, 60], image_set(tmp_path / name), tmp_path / f"{name}.json", 1)
        for name in ("a", "b")
    ]
    one, two = map(measured_curve, results)
    assert one.pictures == two.pictures == sha256_of_pixels([cut])
    assert one.bd_rate(two, "psnr") == 0


@pytest.mark.parametrize(("qualities", "names"), [([], ["a"]), ([5], [])])
def test_nothing_to_measure_is_refused(qualities, names, sets, tmp_path):
    files = [sets[0] / f"{name}.png" for name in names]
    with pytest.raises(InputError, match="at least one each"):
        evaluate("jpeg", qualities, files, tmp_path / "r.json")


@pytest.mark.parametrize("workers", [0, -1, float("nan"), 1.5, 10**6])
def test_workers_out_of_range_are_refused(workers, sets, tmp_path):
    with pytest.raises(InputError, match="Got workers"):
        evaluate("jpeg", [5], [sets[0] / "a.png"], tmp_path / "r.json", workers)


def test_a_picture_that_a_codec_cannot_code_is_named(tmp_path, capsys):
    write_image(tmp_path / "wide" / "a.png", np.zeros((1, 20, 3), np.uint8))
    write_image(tmp_path / "wide" / "b.png", np.zeros((1, 16_384, 3), np.uint8))
    assert course_evaluate(tmp_path / "wide", tmp_path / "r", "webp", qualities=[5]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "webp at quality 5, " in error and "b.png: " in error and "16,383" in error


def test_a_name_as_long_as_they_come_is_written(tmp_path):
    name = "n" * (240 - len("-jpeg.json"))
    out = tmp_path / f"{name}-jpeg.json"
    add_point(out, SETTINGS, POINT)
    add_point(out, SETTINGS | {"sha256_of_pixels": "1" * 64}, POINT)
    assert len(list(tmp_path.glob("n*.json"))) == 2 and out.exists()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    sets, tmp_path, monkeypatch
):
    monkeypatch.setattr("course_lib.evaluation.measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(CourseError, match="Cannot write into"):
        evaluate("jpeg", [5], [sets[0] / "a.png"], file(tmp_path, "") / "r.json")


def test_kodak_is_known_by_its_pixels():
    def on(names, **more):
        return is_on_kodak({"settings": {"images": list(names), **more}})

    assert on(KODAK) and on(KODAK, sha256_of_pixels=KODAK_PIXELS)
    assert not on(KODAK, sha256_of_pixels="0" * 64) and not on(KODAK[:23]) and not on(KODAK[::-1])
    assert published_curve("balle2017-mse").pictures == KODAK_PIXELS


# ------------------------------------------------------------------------------ curves


def curve(bpp, db, name="c", **more):
    nothing = np.full(len(bpp), np.nan)
    return Curve(name, np.array(bpp, float), np.array(db, float), nothing, None, **more)


LINE = curve([1, 2, 4], [30, 33, 36], "line")
HALF = {
    "as it is": ([0.5, 1, 2], [30, 33, 36]),
    "a dip": ([0.5, 0.9, 1, 2], [30, 29, 33, 36]),
    "equal rates": ([0.5, 0.5, 1, 1, 2], [30, 28, 33, 33, 36]),
    "the worse of equal rates first": ([0.5, 0.5, 1, 2], [28, 30, 33, 36]),
    "equal values": ([0.5, 1, 1.5, 2], [30, 33, 33, 36]),
    "in no order": ([2, 0.5, 1], [36, 30, 33]),
    "an infinite value": ([0.5, 1, 2, 5], [30, 33, 36, np.inf]),
    "a value that is not known": ([0.5, 1, 1.2, 2], [30, 33, np.nan, 36]),
    "a value that is not known at first": ([0.1, 0.5, 1, 2], [np.nan, 30, 33, 36]),
    "a rate of nothing": ([0, 0.5, 1, 2], [20, 30, 33, 36]),
}


@pytest.mark.parametrize("case", HALF)
def test_points_that_are_beaten_do_not_count(case):
    tested = curve(*HALF[case])
    assert tested.bd_rate(LINE, "psnr") == pytest.approx(-50)
    assert LINE.bd_rate(tested, "psnr") == pytest.approx(100)
    bpp, values = tested.front("psnr")
    assert (np.diff(bpp) > 0).all() and (np.diff(values) > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_no_other_point_beats(seed):
    rng = np.random.default_rng(seed)
    bpp, db = rng.integers(1, 8, 12) / 4, rng.integers(20, 40, 12)
    found = set(zip(*curve(bpp, db).front("psnr"), strict=True))
    points = set(zip(bpp.tolist(), db.tolist(), strict=True))
    assert found == {
        (r, q) for r, q in points if not any(r2 <= r and q2 >= q for r2, q2 in points - {(r, q)})
    }


@pytest.mark.parametrize(
    ("bpp", "db", "note"),
    [
        ([1], [33], "too few points of c"),
        ([], [], "too few points of c"),
        ([1, 1, 1], [30, 31, 32], "too few points of c"),
        ([1, 2, 3], [33, 32, 31], "too few points of c"),
        ([1, 2], [np.inf, np.inf], "too few points of c"),
        ([1, 2], [40, 45], "no overlap"),
        ([1, 2], [36, 45], "no overlap"),
        ([1, 2], [20, 30], "no overlap"),
    ],
)
def test_what_does_not_compare_says_why(bpp, db, note):
    compared = curve(bpp, db).compare(LINE, "psnr")
    assert compared == (None, note) and curve(bpp, db).bd_rate(LINE, "psnr") is None


def test_an_overlap_that_is_tiny_is_told():
    rate, note = curve([1, 9], [35.5, 45], "far").compare(LINE, "psnr")
    assert rate is not None and note == "over 0.5 dB only, 8 % of the shorter curve"
    assert curve([1, 9], [33, 45]).compare(LINE, "psnr").note == ""
    wide = curve([1, 90], [20, 60], "wide")
    assert curve([1, 9], [58, 98]).compare(wide, "psnr").note == (
        "over 2 dB only, 5 % of the shorter curve"
    )


def test_tables_of_lectures_tell_of_tiny_overlaps_too():
    far = curve([1, 9], [35.5, 45], "far")
    _, _, row = bd_table({"far": far}, LINE).splitlines()
    assert re.search(r"-\d+ % \(over 0\.5 dB only, 8 % of the shorter curve\) \| +– \|$", row)


def plotted(tmp_path, capsys, *points, metric="psnr", **more):
    """The table that `course plot` prints of points (rate, PSNR, MS-SSIM), and its notes."""
    rows = [
        {"quality": q, "bpp": bpp, "psnr": psnr, "ms_ssim": ms_ssim}
        for q, (bpp, psnr, ms_ssim) in enumerate(points, 1)
    ]
    path = file(tmp_path, {"settings": {"codec": "jpeg", "images": ["a"]}, "points": rows})
    words = ["plot", str(path), "--anchor", "jpeg", "--metric", metric]
    words += ["-o", str(tmp_path / "x.png"), "--max-bpp", "2"]
    assert main(words) == 0 and (tmp_path / "x.png").stat().st_size > 1000
    said = capsys.readouterr()
    return said.out.splitlines()[1].split(maxsplit=2)[2], said.err


OWN = {
    "one point": ([(1, 30, 0.9)], "psnr", "too few points", ""),
    "an exact one": (
        [(1, 30, 0.9), (2, 35, 0.95), (3, None, 1)],
        "psnr",
        "+0.0 %",
        "quality 3 dec",
    ),
    "all exact": ([(1, None, 1), (2, None, 1)], "psnr", "too few", "quality 1, 2 decodes"),
    "all of one size": ([(1, 30, 0.9), (1, 31, 0.9)], "psnr", "too few points", ""),
    "dips": ([(1, 30, 0.9), (1.1, 29, 0.8), (2, 36, 0.95)], "psnr", "+0.0 %", ""),
    "falling": ([(1, 36, 0.9), (2, 33, 0.8)], "psnr", "too few points", ""),
    "small pictures": ([(1, 30, None), (2, 36, None)], "ms-ssim", "too few", "under 161 pixels"),
    "an MS-SSIM of 1": ([(1, 30, 0.9), (2, 36, 0.95), (3, 37, 1)], "ms-ssim", "+0.0 %", "of 1"),
    "exact, by MS-SSIM": ([(1, None, 0.5), (2, 36, 0.95)], "ms-ssim", "+0.0 %", ""),
    "a tiny curve": ([(1, 30, 0.9), (2, 30.2, 0.9)], "psnr", "+0.0 %  (over 0.2 dB only", ""),
}


@pytest.mark.parametrize("case", OWN)
def test_every_real_result_is_drawn_or_named(case, tmp_path, capsys):
    points, metric, text, note = OWN[case]
    said, notes = plotted(tmp_path, capsys, *points, metric=metric)
    assert said.strip().startswith(text)
    assert note in notes and notes.count("\n") == bool(note)


def test_pictures_that_are_decoded_exactly_are_measured_and_drawn(tmp_path, capsys):
    """One colour: JPEG files of all qualities have nearly one size, and lose nothing."""
    write_image(tmp_path / "flat" / "a.png", np.full((170, 180, 3), 128, np.uint8))
    assert course_evaluate(tmp_path / "flat", tmp_path / "r", "jpeg", "jpeg-plain") == 0
    files = [str(path) for path in sorted((tmp_path / "r").iterdir())]
    assert main(["plot", *files, "-o", str(tmp_path / "x.png")]) == 0
    said = capsys.readouterr()
    assert "too few points" in said.out and "decodes a picture exactly" in said.err
