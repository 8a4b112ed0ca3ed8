"""`course encode`, `decode` and `inspect`: pictures to files and back."""

from course_lib.errors import InputError
from course_lib.ranges import number, whole


def add_commands(commands) -> None:
    parser = commands.add_parser("encode", help="a picture to a file, by any codec of the course")
    parser.add_argument("picture", metavar="PICTURE")
    parser.add_argument("-o", dest="out", required=True, metavar="FILE")
    parser.add_argument("--codec", required=True, metavar="NAME", help="jpeg, webp, avif, …")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "--quality",
        type=whole(least=0, most=16_383),  # the codec's ladder is held against it
        metavar="Q",
        help="from 1, larger is better",
    )
    size.add_argument(
        "--bpp",
        type=number(above=0, most=1000),
        metavar="R",
        help="at most R bits per pixel, all counted",
    )
    parser.set_defaults(run=_encode)

    parser = commands.add_parser("decode", help="a file back to a picture")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-o", dest="out", required=True, metavar="PICTURE", help="a .png, …")
    parser.add_argument(
        "--partial", action="store_true", help="from a progressive file that is cut"
    )
    parser.set_defaults(run=_decode)

    parser = commands.add_parser("inspect", help="what a file is, and where its bytes go")
    parser.add_argument("file", metavar="FILE")
    parser.set_defaults(run=_inspect)


def _encode(options) -> None:
    from pathlib import Path

    from course_lib.codecs import decode, encode_within, load_codec
    from course_lib.images import read_image
    from course_lib.metrics import bits_per_pixel, psnr
    from course_lib.paths import atomic_write

    _check_output(options.picture, options.out)
    image = read_image(options.picture)
    height, width, _ = image.shape
    if options.bpp is None:
        data = load_codec(options.codec, options.quality).encode(image)
    else:
        data = encode_within(image, options.codec, int(options.bpp * height * width / 8))
    decibels = psnr(image, decode(data))
    atomic_write(Path(options.out), data)
    bpp = bits_per_pixel(len(data), height, width)
    print(f"{options.out}: {len(data):,} bytes, {bpp:.4f} bpp, PSNR {decibels:.2f} dB")


def _decode(options) -> None:
    from course_lib.codecs import decode
    from course_lib.coding.container import read_file
    from course_lib.images import write_image
    from course_lib.metrics import bits_per_pixel

    _check_output(options.file, options.out)
    data = read_file(options.file)
    image = decode(data, partial=options.partial)
    if options.partial:
        image, bpp = image
    else:
        bpp = bits_per_pixel(len(data), *image.shape[:2])
    write_image(options.out, image)
    print(f"{options.out}: {image.shape[0]}×{image.shape[1]} pixels from {bpp:.4f} bpp")


def _inspect(options) -> None:
    from course_lib.codecs import codec_name
    from course_lib.coding.container import NO_WEIGHTS, read_file, unpack
    from course_lib.metrics import bits_per_pixel

    contents = unpack(read_file(options.file))
    header = contents.header
    rows = {"header": contents.header_bytes}
    rows |= {f"segment {n}": len(payload) for n, payload in enumerate(contents.segments, 1)}
    rows["lengths, checksums"] = contents.num_bytes - sum(rows.values())
    rows["file"] = contents.num_bytes
    print(f"{codec_name(header.codec_id)} at quality {header.quality}", end=", ")
    print(f"{header.height}×{header.width} pixels", end=", ")
    has_weights = header.fingerprint != NO_WEIGHTS
    print(f"weights {header.fingerprint.hex()}" if has_weights else "no weights")
    print(f"{'':18} {'bytes':>11} {'bpp':>9} {'share':>8}")
    for name, num_bytes in rows.items():
        bpp = bits_per_pixel(num_bytes, header.height, header.width)
        print(f"{name:18} {num_bytes:11,} {bpp:9.4f} {num_bytes / contents.num_bytes:8.1%}")


def _check_output(source: str, target: str) -> None:
    from pathlib import Path

    if Path(target).is_dir():
        raise InputError(f"{target} is a folder. Add the name of the file to write.")
    if Path(source).exists() and Path(target).exists() and Path(target).samefile(source):
        raise InputError(f"{target} is the file to read. Choose another name for the result.")
