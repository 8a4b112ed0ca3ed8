"""The matrix of pictures: mode × depth × transparency × colours, each with what it shows."""

import base64
import struct
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import picture_writers as make
from picture_writers import Sample, alphas, levels, on_white, rgb, unit
from PIL import Image, ImageCms

GREY_GAMMA = 461 / 256  # as profiles write 1.8
P3_PROFILE = make.rgb_profile(make.P3, make.SRGB_CURVE)
ADOBE_PROFILE = make.rgb_profile(make.ADOBE, make.gamma_curve(2.19921875))
LINEAR_PROFILE = make.rgb_profile(make.SRGB, make.gamma_curve(1))
GREY_PROFILE = make.grey_profile(make.gamma_curve(GREY_GAMMA))
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

COLOURS = {  # name: profile, what levels become, tolerance beyond rounding
    "no profile": (None, lambda x: x),
    "sRGB": (SRGB_PROFILE, lambda x: x),
    "Display P3": (P3_PROFILE, lambda x: make.in_srgb(x, make.srgb_decode, make.P3)),
    "Adobe RGB": (ADOBE_PROFILE, lambda x: make.in_srgb(x, make.power(2.19921875), make.ADOBE)),
    "linear": (LINEAR_PROFILE, lambda x: make.in_srgb(x, make.power(1))),
    "broken profile": (b"no profile at all", lambda x: x),
    "cut profile": (P3_PROFILE[:200], lambda x: x),
    "profile of grey": (GREY_PROFILE, lambda x: x),
    "profile of CMYK": (make.cmyk_profile(), lambda x: x),
}
GREY_COLOURS = {
    "no profile": (None, lambda x: x),
    "grey 1.8": (GREY_PROFILE, lambda x: make.srgb_encode(x**GREY_GAMMA)),
    "broken profile": (b"no profile at all", lambda x: x),
    "profile of RGB": (P3_PROFILE, lambda x: x),
}
BEST_AVIF = {"quality": 100, "subsampling": "4:4:4"}
UNCHANGED = ("no profile", "sRGB", "broken profile", "cut profile")
UNCHANGED += ("profile of grey", "profile of RGB", "profile of CMYK")


def tolerance(colours: str) -> float:
    """Once rounded; by LittleCMS, whose steps are of 16 bits, a little more."""
    return 0.5 + 1e-6 if colours in UNCHANGED else 0.75


# ------------------------------------------------------------------------------ the matrix


def png_samples() -> Iterator[Sample]:
    for bits in (1, 2, 4, 8, 16):
        grey = levels(bits, 1)
        key = int(grey[2, 3, 0])
        opaque = (grey != key).astype(float)
        key_chunk = make.chunk(b"tRNS", struct.pack(">H", key))
        for name, (icc, convert) in GREY_COLOURS.items():
            chunks = [make.icc_chunk(icc)] if icc else []
            shown = convert(unit(grey, bits))
            kind, accuracy = f"PNG | grey {bits} |", tolerance(name)
            yield Sample(
                f"{kind} opaque | {name}", make.png(grey, bits, *chunks), rgb(shown), accuracy
            )
            content = make.png(grey, bits, *chunks, key_chunk)
            yield Sample(f"{kind} key | {name}", content, on_white(shown, opaque), accuracy)
            if bits >= 8:
                alpha = alphas(bits)
                content = make.png(np.dstack([grey, alpha]), bits, *chunks)
                shown = on_white(shown, unit(alpha, bits))
                yield Sample(f"PNG | grey {bits} | alpha | {name}", content, shown, accuracy)
    for bits in (8, 16):
        colors = levels(bits, 3)
        key = colors[3, 4]
        opaque = (colors != key).any(axis=2, keepdims=True).astype(float)
        key_chunk = make.chunk(b"tRNS", struct.pack(">HHH", *map(int, key)))
        for name, (icc, convert) in COLOURS.items():
            chunks = [make.icc_chunk(icc)] if icc else []
            shown = convert(unit(colors, bits))
            kind, accuracy = f"PNG | RGB {bits} |", tolerance(name)
            yield Sample(
                f"{kind} opaque | {name}", make.png(colors, bits, *chunks), shown, accuracy
            )
            content = make.png(colors, bits, *chunks, key_chunk)
            yield Sample(f"{kind} key | {name}", content, on_white(shown, opaque), accuracy)
            alpha = alphas(bits)
            content = make.png(np.dstack([colors, alpha]), bits, *chunks)
            shown = on_white(shown, unit(alpha, bits))
            accuracy = accuracy if name in UNCHANGED else 1.25  # LittleCMS rounds before
            yield Sample(f"PNG | RGB {bits} | alpha | {name}", content, shown, accuracy)


def interlaced_samples() -> Iterator[Sample]:
    for bits, channels in (
        (1, 1),
        (2, 1),
        (4, 1),
        (8, 1),
        (8, 3),
        (16, 1),
        (16, 2),
        (16, 3),
        (16, 4),
    ):
        array = levels(bits, channels)
        color, alpha = (array[..., :-1], array[..., -1:]) if channels % 2 == 0 else (array, None)
        shown = rgb(unit(color, bits))
        shown = shown if alpha is None else on_white(shown, unit(alpha, bits))
        content = make.png(array, bits, interlaced=True)
        yield Sample(f"PNG | {channels} channels of {bits} bits | interlaced", content, shown)


def palette_samples() -> Iterator[Sample]:
    for bits in (1, 2, 4, 8):
        size = 2**bits
        colors = np.random.default_rng(bits).integers(0, 256, (size, 3), np.uint8)
        numbers = np.resize(np.arange(size), (make.HEIGHT, make.WIDTH, 1)).astype(np.uint8)
        some = np.resize(np.array([0, 255, 100], np.uint8), size)
        for name in ("no profile", "Display P3", "broken profile", "profile of grey"):
            icc, convert = COLOURS[name]
            chunks = [make.icc_chunk(icc)] if icc else []
            shown = convert(colors[None] / 255)[0][numbers[..., 0]]
            accuracy = tolerance(name)
            for what, alpha in (("opaque", []), ("one clear", [255, 0]), ("alphas", some)):
                given = [make.chunk(b"tRNS", bytes(bytearray(alpha)))] if len(alpha) else []
                table = np.full(size, 255)
                table[: len(alpha)] = alpha
                content = make.png(numbers, bits, *chunks, *given, palette=colors.tobytes())
                seen = on_white(shown, table[numbers] / 255)
                yield Sample(f"PNG | palette {bits} | {what} | {name}", content, seen, accuracy)
    short = make.png(np.full((2, 2, 1), 9, np.uint8), 8, palette=bytes(range(3, 12)))
    yield Sample("PNG | palette too short | opaque | no profile", short, np.zeros((2, 2, 3)))


def chunk_samples() -> Iterator[Sample]:
    """What says which colours, in PNG: cICP before iCCP before sRGB before gAMA and cHRM."""

    def gamma(value: int) -> bytes:
        return make.chunk(b"gAMA", struct.pack(">I", value))

    def corners(primaries) -> bytes:
        numbers = [round(100_000 * x) for x in (*make.D65, *primaries)]
        return make.chunk(b"cHRM", struct.pack(">8I", *numbers))

    def codes(*numbers: int) -> bytes:
        return make.chunk(b"cICP", bytes(numbers))

    srgb = make.chunk(b"sRGB", b"\0")
    p3_icc = make.icc_chunk(P3_PROFILE)
    in_p3 = COLOURS["Display P3"][1]
    same = lambda x: x  # noqa: E731
    table = {
        "gAMA 0.45455": ([gamma(45455)], same),
        "gAMA 0.45455, cHRM of sRGB": ([gamma(45455), corners(make.SRGB)], same),
        "gAMA 1": ([gamma(100_000)], lambda x: make.in_srgb(x, make.power(1))),
        "gAMA 1/1.8": ([gamma(55556)], lambda x: make.in_srgb(x, make.power(1 / 0.55556))),
        "gAMA 1, cHRM of BT.2020": (
            [gamma(100_000), corners(make.BT2020)],
            lambda x: make.in_srgb(x, make.power(1), make.BT2020),
        ),
        "gAMA 0": ([gamma(0)], same),
        "gAMA 1, cHRM all 0": ([gamma(100_000), make.chunk(b"cHRM", bytes(32))], same),
        "cHRM alone": ([corners(make.P3)], same),
        "sRGB over gAMA": ([srgb, gamma(100_000), corners(make.P3)], same),
        "iCCP over gAMA": ([p3_icc, gamma(100_000)], in_p3),
        "cICP P3": ([codes(12, 13, 0, 1)], in_p3),
        "cICP P3 over iCCP": ([codes(12, 13, 0, 1), make.icc_chunk(ADOBE_PROFILE)], in_p3),
        "cICP BT.2020 linear": (
            [codes(9, 8, 0, 1)],
            lambda x: make.in_srgb(x, make.power(1), make.BT2020),
        ),
        "cICP sRGB over iCCP": ([codes(1, 13, 0, 1), p3_icc], same),
        "cICP PQ (HDR)": ([codes(9, 16, 0, 1)], same),
        "cICP unknown, then iCCP": ([codes(77, 13, 0, 1), p3_icc], in_p3),
        "cICP narrow range": (
            [codes(1, 13, 0, 0)],
            lambda x: np.clip((255 * x - 16) / 219, 0, 1),
        ),
        "gAMA cut short": ([make.chunk(b"gAMA", b"\0\1")], same),
        "cHRM cut short": ([make.chunk(b"cHRM", b"\0\1")], same),
    }
    for bits in (8, 16):
        colors = levels(bits, 3)
        for name, (chunks, convert) in table.items():
            shown = convert(unit(colors, bits))
            accuracy = 0.5 + 1e-6 if convert is same else 0.75
            content = make.png(colors, bits, *chunks)
            yield Sample(f"PNG | RGB {bits} | opaque | {name}", content, shown, accuracy)
    for bits in (1, 2, 4, 8, 16):
        grey = levels(bits, 1)
        shown = make.srgb_encode(unit(grey, bits))
        content = make.png(grey, bits, gamma(100_000))
        yield Sample(f"PNG | grey {bits} | opaque | gAMA 1", content, rgb(shown), 0.51)


def tiff_samples() -> Iterator[Sample]:
    for bits in (8, 16):
        grey, colors, alpha = levels(bits, 1), levels(bits, 3), alphas(bits)
        inks, a = levels(bits, 4), unit(alphas(bits), bits)
        multiplied = np.rint(unit(colors, bits) * a * (2**bits - 1)).astype(colors.dtype)
        premultiplied = rgb(unit(multiplied, bits) + 1 - a)
        with_alpha = np.dstack([colors, alpha])
        paper = 1 - unit(inks, bits)
        options = {
            "grey": (grey[..., 0], {"photometric": "minisblack"}, rgb(unit(grey, bits))),
            "grey, 0 is white": (
                grey[..., 0],
                {"photometric": "miniswhite"},
                rgb(1 - unit(grey, bits)),
            ),
            "RGB": (colors, {"photometric": "rgb"}, unit(colors, bits)),
            "RGBA": (
                with_alpha,
                {"photometric": "rgb", "extrasamples": ["unassalpha"]},
                on_white(unit(colors, bits), a),
            ),
            "RGBa": (
                np.dstack([multiplied, alpha]),
                {"photometric": "rgb", "extrasamples": ["assocalpha"]},
                premultiplied,
            ),
            "RGBX": (
                with_alpha,
                {"photometric": "rgb", "extrasamples": ["unspecified"]},
                unit(colors, bits),
            ),
            "CMYK": (inks, {"photometric": "separated"}, paper[..., :3] * paper[..., 3:]),
        }
        for name, (array, how, shown) in options.items():
            for order, compression in (("<", None), (">", None), ("<", "zlib"), (">", "zlib")):
                if name == "grey, 0 is white" and (bits, order) == (16, ">"):
                    continue  # of which Pillow knows nothing
                how_stored = f"{'little' if order == '<' else 'big'}-endian {compression or 'raw'}"
                content = make.tiff(array, byteorder=order, compression=compression, **how)
                yield Sample(f"TIFF | {name} {bits} | {how_stored}", content, shown)
        if bits == 8:
            for name, kind, shown in (
                ("LA", "unassalpha", on_white(unit(grey, 8), a)),
                ("La", "assocalpha", rgb(unit(multiplied[..., :1], 8) + 1 - a)),
            ):
                array = np.dstack([grey if name == "LA" else multiplied[..., :1], alpha])
                content = make.tiff(
                    array, photometric="minisblack", planarconfig="contig", extrasamples=[kind]
                )
                yield Sample(f"TIFF | {name} 8 | raw", content, shown)
        yield from planar_and_profiled(bits)
    yield from wide_tiff_samples()


def planar_and_profiled(bits: int) -> Iterator[Sample]:
    grey, colors = levels(bits, 1), levels(bits, 3)
    for how_stored, more in {
        "planes, raw": {},
        "planes, zlib, predictor": {"compression": "zlib", "predictor": True},
        "planes, tiles": {"tile": (16, 16)},
        "planes, big-endian": {"byteorder": ">"},
        "planes, BigTIFF": {"bigtiff": True},
        "planes, strips": {"rowsperstrip": 2, "compression": "zlib"},
    }.items():
        planes = np.moveaxis(colors, 2, 0)
        content = make.tiff(planes, photometric="rgb", planarconfig="separate", **more)
        yield Sample(f"TIFF | RGB {bits} | {how_stored}", content, unit(colors, bits))
    for name in ("Display P3", "Adobe RGB", "linear", "broken profile", "profile of grey"):
        icc, convert = COLOURS[name]
        content = make.tiff(colors, photometric="rgb", iccprofile=icc)
        shown = convert(unit(colors, bits))
        yield Sample(f"TIFF | RGB {bits} | opaque | {name}", content, shown, tolerance(name))
    icc, convert = GREY_COLOURS["grey 1.8"]
    content = make.tiff(grey[..., 0], photometric="minisblack", iccprofile=icc)
    shown = rgb(convert(unit(grey, bits)))
    yield Sample(f"TIFF | grey {bits} | opaque | grey 1.8", content, shown, 0.75)


def wide_tiff_samples() -> Iterator[Sample]:
    bits = Image.fromarray(levels(8, 1)[..., 0] > 99)
    for compression in ("group4", "tiff_lzw", "packbits"):
        content = make.saved(bits, "TIFF", compression=compression)
        shown = rgb(np.asarray(bits)[..., None].astype(float))
        yield Sample(f"TIFF | bits | {compression}", content, shown)
    grey = levels(16, 1)[..., 0]
    shown = rgb(unit(grey, 16)[..., None])
    for kind in (np.uint32, np.int32):
        yield Sample(f"TIFF | {kind.__name__} | 16-bit levels", make.tiff(grey.astype(kind)), shown)
    floats = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    floats[0, :3] = 0, 1, 0.5
    content = make.tiff(floats, photometric="minisblack")
    yield Sample("TIFF | float32 | 0 to 1", content, rgb(floats[..., None].astype(float)))
    content = make.tiff(floats, photometric="miniswhite")
    yield Sample("TIFF | float32, 0 is white | 0 to 1", content, rgb(1 - floats[..., None]), 0.501)
    colormap = np.random.default_rng(1).integers(0, 65536, (3, 256), np.uint16)
    numbers = levels(8, 1)[..., 0]
    content = make.tiff(numbers, photometric="palette", colormap=colormap)
    yield Sample("TIFF | palette 16 | opaque", content, colormap.T[numbers] / 65535)
    content = make.tiff(numbers, photometric="palette", colormap=colormap // 256 * 256)
    yield Sample("TIFF | palette 8 | opaque", content, (colormap // 256).T[numbers] / 255)
    dark = 1 - unit(levels(12, 1), 12)
    yield Sample("TIFF | grey 12 | 0 is black", twelve_bits(levels(12, 1)), rgb(1 - dark))
    small, large = levels(8, 3), np.repeat(np.repeat(levels(8, 3), 2, 0), 2, 1)
    buffer = BytesIO()
    with make.tifffile.TiffWriter(buffer) as writer:
        writer.write(large, photometric="rgb", metadata=None)
        writer.write(small, photometric="rgb", metadata=None, subfiletype=1)
    yield Sample("TIFF | RGB 8 | and a smaller version", buffer.getvalue(), large / 255)


def twelve_bits(array: np.ndarray) -> bytes:
    """A TIFF of grey levels of 12 bits, two in three bytes."""
    height, width, _ = array.shape
    digits = (array >> np.arange(12)[::-1] & 1).reshape(height, -1).astype(np.uint8)
    rows = np.packbits(digits, axis=1).tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags[279] = len(rows)
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    rows += bytes(len(rows) % 2)
    return struct.pack("<2sHI", b"II", 42, 8 + len(rows)) + rows + directory + bytes(4)


def pillow_samples() -> Iterator[Sample]:
    """Modes that Pillow writes, in the formats that keep them."""
    grey, colors, alpha = levels(8, 1), levels(8, 3), alphas(8)
    a = alpha / 255
    grey8, rgb8 = Image.fromarray(grey[..., 0]), Image.fromarray(colors)
    la, rgba = (Image.fromarray(np.dstack([x, alpha])) for x in (grey, colors))
    bits = grey[..., 0] > 100
    shown = {
        "1": (Image.fromarray(bits), rgb(bits[..., None].astype(float))),
        "L": (grey8, rgb(grey / 255)),
        "RGB": (rgb8, colors / 255),
        "LA": (la, on_white(grey / 255, a)),
        "RGBA": (rgba, on_white(colors / 255, a)),
        "P": (rgb8.quantize(16), np.asarray(rgb8.quantize(16).convert("RGB")) / 255),
    }
    kept = {"1": "PNG TIFF BMP PPM GIF", "L": "PNG TIFF BMP PPM GIF JPEG2000"}
    kept |= {"RGB": "PNG TIFF BMP PPM WEBP JPEG2000 AVIF", "LA": "PNG TIFF JPEG2000"}
    kept |= {"RGBA": "PNG TIFF WEBP JPEG2000", "P": "PNG TIFF BMP GIF"}
    lossless = {"WEBP": {"lossless": True, "exact": True}, "AVIF": BEST_AVIF}
    for mode, formats in kept.items():
        image, seen = shown[mode]
        for format in formats.split():
            content = make.saved(image, format, **lossless.get(format, {}))
            accuracy = 4 if format == "AVIF" else 0.5 + 1e-6
            yield Sample(f"{format} | {mode} | as it is", content, seen, accuracy)
    for format, how in (("WEBP", lossless["WEBP"]), ("TIFF", {})):
        for name in ("sRGB", "Display P3", "Adobe RGB", "broken profile", "profile of CMYK"):
            icc, convert = COLOURS[name]
            content = make.saved(rgba, format, icc_profile=icc, **how)
            seen = on_white(convert(colors / 255), a)
            yield Sample(f"{format} | RGB 8 | alpha | {name}", content, seen, tolerance(name))
    content = make.saved(la, "TIFF", icc_profile=GREY_PROFILE)
    seen = on_white(make.srgb_encode((grey / 255) ** GREY_GAMMA), a)
    yield Sample("TIFF | grey 8 | alpha | grey 1.8", content, seen, 0.75)
    yield from odd_samples()


def odd_samples() -> Iterator[Sample]:
    colors = levels(8, 3)
    image = Image.fromarray(colors)
    ycc = image.convert("YCbCr")
    y, cb, cr = np.moveaxis(np.asarray(ycc).astype(float), 2, 0)
    content = make.saved(ycc, "TIFF")
    yield Sample("TIFF | YCbCr | opaque", content, make.from_ycc(y, cb, cr), 1.01)
    lab = (levels(8, 3) // (1, 4, 4) + (0, 224, 224)).astype(np.uint8)  # a and b: −32 to 31
    real = np.dstack([lab[..., :1] * (100 / 255), lab[..., 1:].view(np.int8)])
    content = make.saved(Image.frombytes("LAB", (make.WIDTH, make.HEIGHT), lab.tobytes()), "TIFF")
    yield Sample("TIFF | LAB | opaque", content, make.lab_in_srgb(real), 1.5)
    palette = image.quantize(8)
    numbers, alpha = np.asarray(palette), alphas(8)
    pa = Image.merge("LA", (Image.fromarray(numbers), Image.fromarray(alpha[..., 0])))
    mixed = Image.frombytes("PA", pa.size, pa.tobytes())
    mixed.putpalette(palette.getpalette())
    seen = on_white(np.asarray(palette.convert("RGB")) / 255, alpha / 255)
    yield Sample("TIFF | PA | alpha", make.saved(mixed, "TIFF"), seen)
    clear = np.asarray(palette)[..., None] != 3
    content = make.saved(palette, "GIF", transparency=3)
    yield Sample(
        "GIF | P | one clear", content, on_white(np.asarray(palette.convert("RGB")) / 255, clear)
    )
    greys = Image.fromarray(np.arange(8, dtype=np.uint8).repeat(4).reshape(4, 8))
    content = make.saved(greys, "GIF", transparency=5)
    seen = on_white(np.asarray(greys)[..., None] / 255, np.asarray(greys)[..., None] != 5)
    yield Sample("GIF | L | one clear", content, seen)
    inks = levels(8, 4)
    for name, icc in (("broken profile", b"no"), ("profile of RGB", P3_PROFILE)):
        content = make.saved(make.cmyk(inks), "TIFF", icc_profile=icc)
        yield Sample(f"TIFF | CMYK | {name}", content, make.from_cmyk(inks / 255))
    corners = 255 * np.array([[number >> np.arange(4)[::-1] & 1 for number in range(16)]])
    content = make.saved(make.cmyk(corners), "TIFF", icc_profile=make.cmyk_profile())
    encoded = np.rint(make.INKS * (255 / 100, 1, 1)) / (255 / 100, 1, 1)
    yield Sample("TIFF | CMYK | profile of CMYK", content, make.lab_in_srgb(encoded)[None], 1.6)


def netpbm_samples() -> Iterator[Sample]:
    for white in (1, 3, 100, 255, 256, 1023, 4095, 65535):
        for letter, channels in ((b"5", 1), (b"6", 3)):
            values = np.random.default_rng(white).integers(0, white + 1, (4, 5, channels))
            values.flat[:3] = 0, white, white // 2
            head = b"P%s\n# a comment\n5 4\n%d\n" % (letter, white)
            content = head + values.astype(">u2" if white > 255 else "u1").tobytes()
            kind, shown = f"| white is {white}", rgb(values / white)
            yield Sample(f"PPM | P{letter.decode()} {kind}", content, shown)
            plain = str(int(letter) - 3).encode()
            numbers = " ".join(map(str, values.ravel())).encode()
            content = b"P%s 5 4 %d\n" % (plain, white) + numbers
            yield Sample(f"PPM | P{plain.decode()} {kind}", content, shown)
    bits = np.random.default_rng(0).integers(0, 2, (4, 5))
    content = b"P4 5 4\n" + np.packbits(bits, axis=1).tobytes()
    yield Sample("PPM | P4 | bits", content, rgb(1.0 - bits[..., None]))
    floats = np.random.default_rng(0).random((4, 5)).astype("<f4")
    content = b"Pf\n5 4\n-1.0\n" + floats[::-1].tobytes()
    yield Sample("PPM | Pf | 0 to 1", content, rgb(floats[..., None].astype(float)))


def jpeg_samples() -> Iterator[Sample]:
    colors, inks = (np.kron(levels(8, c)[:2, :3], np.ones((8, 8, 1), np.uint8)) for c in (3, 4))
    best = {"quality": 100, "subsampling": 0}
    rgb8 = Image.fromarray(colors)
    content = make.saved(rgb8, "JPEG", **best)
    pixels = make.jpeg_pixels(content) / 255
    for name, (icc, convert) in COLOURS.items():
        content = make.saved(rgb8, "JPEG", icc_profile=icc, **best)
        yield Sample(f"JPEG | RGB 8 | {name}", content, convert(pixels), tolerance(name))
    grey = Image.fromarray(colors[..., 0])
    pixels = make.jpeg_pixels(make.saved(grey, "JPEG", **best))[..., None] / 255
    for name, (icc, convert) in GREY_COLOURS.items():
        content = make.saved(grey, "JPEG", icc_profile=icc, **best)
        yield Sample(f"JPEG | grey 8 | {name}", content, rgb(convert(pixels)), tolerance(name))
    inverted = make.saved(make.cmyk(inks), "JPEG", **best)
    yield Sample("JPEG | CMYK | Adobe's, inverted", inverted, make.from_cmyk(inks / 255), 4)
    content = make.saved(rgb8, "JPEG", keep_rgb=True, quality=100)
    yield Sample("JPEG | RGB, not as YCbCr | Adobe's", content, colors / 255, 3)
    place = inverted.index(b"Adobe") + 11
    as_ycck = inverted[:place] + b"\2" + inverted[place + 1 :]  # its planes are Y, Cb, Cr, K now
    y, cb, cr, k = np.moveaxis(255 - inks.astype(float), 2, 0)
    seen = (1 - make.from_ycc(y, cb, cr)) * (k / 255)[..., None]
    yield Sample("JPEG | YCCK | Adobe's, inverted", as_ycck, seen, 4)


def jpeg2000_samples() -> Iterator[Sample]:
    grey = levels(16, 1)
    content = make.saved(Image.fromarray(grey[..., 0]), "JPEG2000")
    yield Sample("JPEG2000 | grey 16 | opaque", content, rgb(unit(grey, 16)))
    yield Sample(
        "JPEG2000 | grey 12 | opaque",
        TWELVE_BITS,
        rgb(np.arange(0, 4096, 273)[None, :, None] / 4095),
    )
    colors = levels(8, 3)
    content = make.saved(Image.fromarray(colors), "JPEG2000")
    place = content.index(b"colr\1")
    box = struct.pack(">I", 11 + len(P3_PROFILE)) + b"colr\2\0\0" + P3_PROFILE
    content = content[: place - 4] + box + content[place + 11 :]
    header = content.index(b"jp2h")
    size = int.from_bytes(content[header - 4 : header]) + len(box) - 15
    content = content[: header - 4] + struct.pack(">I", size) + content[header:]
    yield Sample(
        "JPEG2000 | RGB 8 | Display P3", content, COLOURS["Display P3"][1](colors / 255), 0.75
    )


def avif_samples() -> Iterator[Sample]:
    flat = np.broadcast_to(np.array([40, 200, 90], np.uint8), (8, 8, 3))
    image = Image.fromarray(np.ascontiguousarray(flat))
    content = make.saved(image, "AVIF", **BEST_AVIF)
    in_p3 = COLOURS["Display P3"][1]
    p3 = content.replace(b"colrnclx\0\1", b"colrnclx\0\x0c")
    assert p3 != content
    yield Sample("AVIF | RGB 8 | numbers of P3", p3, in_p3(flat / 255), 3)
    content = make.saved(image, "AVIF", **BEST_AVIF, icc_profile=P3_PROFILE)
    yield Sample("AVIF | RGB 8 | Display P3", content, in_p3(flat / 255), 3)
    clear = np.dstack([flat, np.where(np.arange(8) < 4, 0, 255)[None].repeat(8, 0)]).astype(
        np.uint8
    )
    content = make.saved(Image.fromarray(clear), "AVIF", **BEST_AVIF)
    yield Sample("AVIF | RGB 8 | alpha", content, on_white(flat / 255, clear[..., 3:] / 255), 3)


# Written by OpenJPEG, without loss: what Pillow cannot write
SIXTEEN_BITS = base64.b64decode(
    "/0//UQAvAAAAAAAEAAAAAQAAAAAAAAAAAAAABAAAAAEAAAAAAAAAAAADDwEBDwEBDwEB/1IADAAAAAEBAAQEAAH/XAAEQI"
    "D/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAcAAH/k9/4kEAGai8JrZaUl4CA/9k="
)
TWELVE_BITS = base64.b64decode(
    "/0//UQApAAAAAAAQAAAAAQAAAAAAAAAAAAAAEAAAAAEAAAAAAAAAAAABCwEB/1IADAAAAAEAAAQEAAH/XAAEQGD/ZAAlAA"
    "FDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAApAAH/k9/gYAc4fXQmV1gJ7Gsi62VKmw5MJcd9"
    "LrOhlP/Z"
)


def all_samples() -> list[Sample]:
    """The whole matrix."""
    parts = (png_samples, palette_samples, chunk_samples, tiff_samples, pillow_samples)
    parts += (interlaced_samples, netpbm_samples, jpeg_samples, jpeg2000_samples, avif_samples)
    return [sample for part in parts for sample in part()]
