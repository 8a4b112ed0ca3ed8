"""Measured files add up, runs resume, and the ruler agrees with published measurements."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib import evaluation
from course_lib.cli import main
from course_lib.codecs import CODECS, load_codec, measured_at
from course_lib.errors import InputError
from course_lib.evaluation import (
    Curve,
    evaluate,
    is_on_kodak,
    load_results,
    measure,
    measured_curve,
    published_curve,
)
from course_lib.images import photograph, write_image
from course_lib.metrics import bits_per_pixel, ms_ssim, ms_ssim_db, psnr
from course_lib.paths import data_dir

CLASSIC = tuple(name for name, row in CODECS.items() if not row.is_learned)


@pytest.fixture
def folder(tmp_path):
    """Two crops of photographs, of different sizes."""
    write_image(tmp_path / "pictures" / "cat.png", photograph("chelsea")[:170, :200])
    write_image(tmp_path / "pictures" / "cup.png", photograph("coffee")[100:300, :180])
    return tmp_path / "pictures"


def run(folder, out, qualities=(20, 60), name="jpeg", workers=1):
    return evaluate(name, qualities, sorted(folder.iterdir()), out, workers)


def test_a_measurement_is_of_the_real_file():
    image = photograph("chelsea")
    codec = load_codec("jpeg", quality=30)
    data = codec.encode(image)
    measured = measure(codec, image)
    assert measured.bytes == len(data)
    assert len(data) - 30 < measured.payload_bytes < len(data)
    assert measured.psnr == psnr(image, codec.decode(data))
    assert measured.ms_ssim == ms_ssim(image, codec.decode(data))
    assert measured.encode_seconds > 0 and measured.decode_seconds > 0


def test_means_are_of_the_images(folder, tmp_path):
    results = run(folder, tmp_path / "r.json")
    for point in results["points"]:
        each, sizes = point["each"], results["settings"]["sizes"]
        rates = [bits_per_pixel(n, *size) for n, size in zip(each["bytes"], sizes, strict=True)]
        assert point["bpp"] == pytest.approx(np.mean(rates), abs=1e-6)
        assert point["psnr"] == pytest.approx(np.mean(each["psnr"]), abs=1e-4)
        assert point["ms_ssim"] == pytest.approx(np.mean(each["ms_ssim"]), abs=1e-6)
        assert point["payload_bpp"] < point["bpp"]
    curve = measured_curve(results)
    assert (np.diff(curve.bpp) > 0).all() and (np.diff(curve.psnr) > 0).all()
    assert curve.ms_ssim_db[0] == ms_ssim_db(results["points"][0]["ms_ssim"])
    assert (measured_curve(results, payload_only=True).bpp < curve.bpp).all()


def test_workers_change_nothing_but_the_times(folder, tmp_path):
    def without_times(results):
        for point in results["points"]:
            for place in (point, point["each"]):
                del place["encode_seconds"], place["decode_seconds"]
        return results["points"]

    one = run(folder, tmp_path / "one.json", workers=1)
    two = run(folder, tmp_path / "two.json", workers=2)
    assert without_times(one) == without_times(two)


def test_a_run_resumes_where_an_earlier_one_died(folder, tmp_path, monkeypatch):
    out = tmp_path / "r.json"
    measured = []

    def measure_until_killed(codec, image):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(codec.quality)
        return measure(codec, image)

    monkeypatch.setattr(evaluation, "measure", measure_until_killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder, out)
    kept = load_results(out)["points"]
    assert [point["quality"] for point in kept] == [20]

    measured.clear()
    monkeypatch.setattr(
        evaluation, "measure", lambda *args: measured.append(args) or measure(*args)
    )
    points = run(folder, out)["points"]
    assert len(measured) == 2  # the two images of quality 60
    assert points[0] == kept[0]
    assert [point["quality"] for point in points] == [20, 60]


def test_results_of_other_pictures_are_not_mixed_in(folder, tmp_path):
    before = run(folder, tmp_path / "r.json")
    write_image(folder / "cat.png", photograph("chelsea")[10:180, :200])
    after = run(folder, tmp_path / "r.json", qualities=[60])
    assert [point["quality"] for point in after["points"]] == [60]
    assert after["settings"]["sha256_of_pixels"] != before["settings"]["sha256_of_pixels"]


def test_results_of_other_weights_are_measured_anew(folder, tmp_path):
    out = tmp_path / "r.json"
    run(folder, out)
    text = out.read_text()
    out.write_text(
        text.replace('"quality": 20, "weights": "00000000"', '"quality": 20, "weights": "0a"')
    )
    assert [point["weights"] for point in run(folder, out)["points"]] == ["00000000"] * 2


def test_small_images_have_no_ms_ssim(tmp_path):
    write_image(tmp_path / "p" / "small.png", photograph("chelsea")[:100, :300])
    results = run(tmp_path / "p", tmp_path / "r.json")
    assert results["points"][0]["ms_ssim"] is None
    assert np.isnan(measured_curve(results).ms_ssim_db).all()


@pytest.mark.parametrize("content", ["", "[]", '{"settings": {}}', '{"points": []}', "\x00"])
def test_a_broken_result_file_is_named(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=r"r\.json is not a file of results"):
        load_results(tmp_path / "r.json")


def test_bd_rates_leave_out_points_that_a_cheaper_one_beats():
    anchor = Curve(
        "a", np.array([1.0, 2.0, 4.0]), np.array([30.0, 33.0, 36.0]), np.full(3, np.nan), None
    )
    dented = Curve(
        "b",
        np.array([0.5, 0.9, 1.0, 2.0]),
        np.array([30.0, 29.0, 33.0, 36.0]),
        np.full(4, np.nan),
        None,
    )
    assert dented.bd_rate(anchor, "psnr") == pytest.approx(-50)
    assert dented.bd_rate(anchor, "ms-ssim") is None
    with pytest.raises(InputError, match="expected psnr or ms-ssim"):
        dented.bd_rate(anchor, "ssim")


def test_published_curves_are_found_by_name():
    curve = published_curve("balle2017-mse")
    assert curve.published and len(curve.bpp) == 8
    with pytest.raises(InputError, match=r"expected one of .*minnen2017"):
        published_curve("balle2027")


def test_what_we_measured_ourselves_is_never_called_published():
    names = json.loads((data_dir() / "published" / "kodak_curves.json").read_text())
    local = [name for name in names if name.startswith("local-")]
    assert local
    for name in names:
        assert published_curve(name).published == (name not in local)


def test_every_curve_that_the_table_of_codecs_names_is_there():
    for name, row in CODECS.items():
        if row.published:
            assert published_curve(row.published).codec == name


def test_every_published_curve_is_read():
    names = json.loads((data_dir() / "published" / "kodak_curves.json").read_text())
    for name in names:
        assert (np.diff(published_curve(name).bpp) > 0).all()


# The committed measurements


def committed(name):
    return load_results(data_dir() / "results" / f"kodak-{name}.json")


@pytest.mark.parametrize("name", CLASSIC)
def test_committed_results_are_of_kodak(name):
    results = committed(name)
    assert is_on_kodak(results)
    assert results["settings"]["codec"] == name
    assert [point["quality"] for point in results["points"]] == list(measured_at(name))


@pytest.mark.parametrize(
    ("name", "wrapping"),  # bytes of the format's own boxes, which our files leave away
    [("jpeg-plain", 0), ("jpeg2000", 124), ("webp", 20)],
)
def test_the_ruler_agrees_with_measurements_made_elsewhere(name, wrapping):
    """0.05 dB at equal rate of the payload, by linear interpolation over ln(rate)."""
    ours = measured_curve(committed(name), payload_only=True)
    theirs = published_curve(CODECS[name].published)
    our_bpp = ours.bpp + bits_per_pixel(wrapping, 512, 768)
    inside = (theirs.bpp >= our_bpp[0]) & (theirs.bpp <= our_bpp[-1])
    assert inside.sum() >= 10
    at_their_rates = np.interp(np.log(theirs.bpp[inside]), np.log(our_bpp), ours.psnr)
    np.testing.assert_allclose(at_their_rates, theirs.psnr[inside], atol=0.05)


def test_committed_results_can_be_measured_again():
    """One picture, one quality of each codec, if the Kodak pictures are at hand."""
    from course_lib.images import ImageError, image_set, read_image

    try:
        path = image_set("kodak")[0]
    except ImageError as error:
        pytest.skip(str(error))
    for name in CLASSIC:
        point = committed(name)["points"][2]
        measured = measure(load_codec(name, point["quality"]), read_image(path))
        assert measured.bytes == pytest.approx(point["each"]["bytes"][0], rel=0.01)
        assert measured.psnr == pytest.approx(point["each"]["psnr"][0], abs=0.05)


# The commands


def test_evaluate_and_plot_from_the_command_line(folder, tmp_path, capsys):
    command = ["evaluate", "--codecs", "jpeg-plain", "webp", "--qualities", "20", "40", "60"]
    assert main([*command, "--images", str(folder), "--out", str(tmp_path)]) == 0
    files = [str(tmp_path / f"pictures-{name}.json") for name in ("jpeg-plain", "webp")]
    capsys.readouterr()
    for metric in ("psnr", "ms-ssim"):
        picture = tmp_path / f"{metric}.png"
        assert main(["plot", *files, "-o", str(picture), "--metric", metric]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert not plt.get_fignums()
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split() == ["jpeg-plain", "measured", "+0.0", "%"]
    name, _, rate, _ = rows[2].split()
    assert name == "webp" and -60 < float(rate) < 0


def test_a_plot_says_in_its_title_what_it_shows_and_ends_where_it_is_told(tmp_path, monkeypatch):
    """Reference curves that we measured ourselves are listed, and not drawn."""
    drawn = []
    monkeypatch.setattr(plt, "close", drawn.append)
    files = [data_dir() / "results" / f"kodak-{name}.json" for name in ("jpeg", "webp", "avif")]
    arguments = ["plot", *map(str, files), "--anchor", "jpeg", "--max-bpp", "1.5"]
    assert main([*arguments, "-o", str(tmp_path / "x.png")]) == 0
    (axes,) = drawn[0].axes
    assert [line.get_label() for line in axes.lines] == ["JPEG", "WebP", "AVIF"]
    title = re.fullmatch(
        r"Bits at equal PSNR, against JPEG: AVIF −(\d+) %, WebP −(\d+) %",
        " ".join(axes.get_title("left").replace("\N{NO-BREAK SPACE}", " ").split()),
    )
    assert int(title[1]) > int(title[2]) > 0
    assert axes.get_xlim() == (0, 1.5)
    highest = max(np.interp(1.5, *line.get_data()) for line in axes.lines)
    assert highest < axes.get_ylim()[1] < highest + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--codecs", "jpg", "--images", "kodak"], "No codec 'jpg'"),
        (["evaluate", "--codecs", "jpeg", "--images", "nowhere"], "No image set 'nowhere'"),
        (
            ["evaluate", "--codecs", "jpeg", "--images", "x", "--qualities", "0"],
            "jpeg has no quality 0",
        ),
        (["evaluate", "--codecs", "jpeg", "--images", "x", "--workers", "0"], "at least 1"),
        (["plot", "nothing.json", "-o", "x.png"], "Measure first: course evaluate"),
        (["plot", "nothing.json", "-o", "x.doc"], "expected a name in .png"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_missing_anchor_is_named(folder, tmp_path, capsys):
    run(folder, tmp_path / "r.json")
    assert main(["plot", str(tmp_path / "r.json"), "-o", str(tmp_path / "x.png")]) == 1
    assert "anchor jpeg-plain is not among the results (jpeg)" in capsys.readouterr().err
