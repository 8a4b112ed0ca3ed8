"""A folder of pictures: what counts is what can be read as one; all else is named."""

import pytest
from PIL import Image

from course_lib.errors import CourseWarning
from course_lib.images import ImageError, image_set, photograph, read_image, write_image


def test_what_is_read_as_a_picture_counts_whatever_it_is_called(tmp_path):
    for ending in ("png", "jpg", "webp", "jp2", "gif", "tif", "bmp", "ppm", "avif"):
        image = Image.fromarray(photograph("chelsea")[:16, :16])
        image.save(tmp_path / f"{ending}.{ending}")
        (tmp_path / f"{ending}.{ending}").rename(tmp_path / f"{ending}.photo")
    (tmp_path / "UPPER.PNG").write_bytes((tmp_path / "png.photo").read_bytes())
    (tmp_path / "none").write_bytes((tmp_path / "jpg.photo").read_bytes())
    (tmp_path / "link.txt").symlink_to(tmp_path / "png.photo")
    files = image_set(tmp_path)
    assert len(files) == 12 and all(read_image(path).shape == (16, 16, 3) for path in files)


def test_what_systems_leave_behind_does_not_count_and_is_not_named(tmp_path, recwarn):
    write_image(tmp_path / "a.png", photograph("chelsea")[:16, :16])
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png", "Icon\r"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git"):
        (tmp_path / name).mkdir()
    assert [path.name for path in image_set(tmp_path)] == ["a.png"] and not recwarn.list


def test_whatever_else_is_left_out_of_a_folder_is_named_with_its_reason(tmp_path):
    pictures = [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
    pictures[0].save(tmp_path / "a.png")
    pictures[0].save(tmp_path / "b.gif", save_all=True, append_images=pictures[1:])
    (tmp_path / "c.txt").write_text("notes")
    (tmp_path / "d.svg").write_text("<svg/>")
    (tmp_path / "more").mkdir()
    (tmp_path / "z.png").symlink_to("nowhere")
    with pytest.warns(CourseWarning) as told:
        assert [path.name for path in image_set(tmp_path)] == ["a.png"]
    (warning,) = told
    assert str(warning.message) == (
        f"Left out of {tmp_path}: b.gif (it has 2 frames), c.txt (not a picture), d.svg (not a "
        "picture), more (a folder), z.png (no file)."
    )


def test_many_files_that_are_left_out_are_counted(tmp_path):
    write_image(tmp_path / "a.png", photograph("chelsea")[:16, :16])
    for number in range(30):
        (tmp_path / f"{number:02}.txt").touch()
    with pytest.warns(CourseWarning, match=r"07\.txt \(not a picture\), and 22 more\.$"):
        image_set(tmp_path)


def test_a_damaged_picture_is_refused_and_not_left_out(tmp_path):
    write_image(tmp_path / "a.png", photograph("chelsea")[:16, :16])
    (tmp_path / "b.jp2").write_bytes(b"half")
    assert [path.name for path in image_set(tmp_path)] == ["a.png", "b.jp2"]
    with pytest.raises(ImageError, match=r"b\.jp2"):
        read_image(tmp_path / "b.jp2")


def test_a_folder_of_none_says_what_it_found(tmp_path):
    (tmp_path / "c.txt").write_text("notes")
    with pytest.raises(ImageError, match=r"No pictures in .* Found: c\.txt \(not a picture\)"):
        image_set(tmp_path)
