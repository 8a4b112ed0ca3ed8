"""Expected pictures: framed and labelled, so that no student takes them for their own."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LABEL = "Expected"
BORDER, BAND = 8, 30  # in pixels as shown: at the sides and below, and above, with the label
_FRAME = (33, 120, 203)


def frame(png: bytes, width: int) -> tuple[bytes, int]:
    """A picture that is shown ``width`` pixels wide, in a blue frame with a label; its new width.

    The picture itself keeps its pixels.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    scale = max(1, round(picture.width / width))
    border, band = scale * BORDER, scale * BAND
    size = (picture.width + 2 * border, picture.height + band + border)
    framed = Image.new("RGB", size, _FRAME)
    framed.paste("white", (border, band, border + picture.width, band + picture.height))
    framed.paste(picture, (border, band), picture)
    framed.paste("white", mask=_label(size, scale))
    buffer = io.BytesIO()
    _with_palette(framed).save(buffer, "PNG", optimize=True)
    return buffer.getvalue(), width + 2 * border // scale


def _label(size: tuple[int, int], scale: int) -> Image.Image:
    """Where the label is, in few shades, so that those of a chart still fit a palette with it."""
    mask = Image.new("L", size)
    font = ImageFont.load_default(scale * 18)
    place = (scale * BORDER, scale * BAND / 2)
    ImageDraw.Draw(mask).text(place, LABEL, 255, font, anchor="lm")
    return mask.point([shade // 17 * 17 for shade in range(256)])


def is_same(png: bytes, other: bytes) -> bool:
    """Whether two files show the same pixels: PNG are packed otherwise on other machines."""
    one, two = (Image.open(io.BytesIO(data)).convert("RGB") for data in (png, other))
    return one.size == two.size and one.tobytes() == two.tobytes()


def _with_palette(image: Image.Image) -> Image.Image:
    """The same pixels with a palette, if at most 256 colours are in them: a third of the bytes."""
    if image.getcolors(256) is None:
        return image
    colors, indices = np.unique(np.asarray(image).reshape(-1, 3), axis=0, return_inverse=True)
    packed = Image.frombytes("P", image.size, indices.astype(np.uint8).tobytes())
    packed.putpalette(colors.tobytes())
    return packed
