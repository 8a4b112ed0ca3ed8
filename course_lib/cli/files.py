"""`course encode`, `decode` and `inspect`: pictures to files and back.

``-`` is standard input or output, as programs for pictures have it; a file of that name is ``./-``.
What is said about a result then goes to standard error.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from course_lib.cli.streams import UNREAD
from course_lib.errors import CourseError, InputError
from course_lib.ranges import number, whole


def add_commands(commands) -> None:
    parser = commands.add_parser("encode", help="a picture to a file, by any codec of the course")
    parser.add_argument("picture", metavar="PICTURE", help="or - for standard input")
    parser.add_argument(
        "-o", dest="out", required=True, metavar="FILE", help="or - for standard output"
    )
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
    parser.add_argument("file", metavar="FILE", help="or - for standard input")
    parser.add_argument(
        "-o",
        dest="out",
        required=True,
        metavar="PICTURE",
        help="a .png, …, or - for a PNG to standard output",
    )
    parser.add_argument(
        "--partial", action="store_true", help="from a progressive file that is cut"
    )
    parser.set_defaults(run=_decode)

    parser = commands.add_parser("inspect", help="what a file is, and where its bytes go")
    parser.add_argument("file", metavar="FILE", help="or - for standard input")
    parser.set_defaults(run=_inspect)


def _encode(options) -> None:
    from course_lib.codecs import decode, encode_within, load_codec
    from course_lib.images import read_image
    from course_lib.metrics import bits_per_pixel, psnr
    from course_lib.paths import atomic_write

    out = _output(options.out, options.picture)
    image = read_image(_input(options.picture))
    height, width, _ = image.shape
    if options.bpp is None:
        data = load_codec(options.codec, options.quality).encode(image)
    else:
        data = encode_within(image, options.codec, int(options.bpp * height * width / 8))
    decibels = psnr(image, decode(data))
    with _while_read(out):
        atomic_write(out, data)
    bpp = bits_per_pixel(len(data), height, width)
    _tell(out, f"{len(data):,} bytes, {bpp:.4f} bpp, PSNR {decibels:.2f} dB")


def _decode(options) -> None:
    from course_lib.codecs import decode
    from course_lib.coding.container import read_file
    from course_lib.images import write_image
    from course_lib.metrics import bits_per_pixel

    out = _output(options.out, options.file)
    data = read_file(_input(options.file))
    image = decode(data, partial=options.partial)
    if options.partial:
        image, bpp = image
    else:
        bpp = bits_per_pixel(len(data), *image.shape[:2])
    with _while_read(out):
        write_image(out, image)
    _tell(out, f"{image.shape[0]}×{image.shape[1]} pixels from {bpp:.4f} bpp")


def _inspect(options) -> None:
    from course_lib.codecs import codec_name
    from course_lib.coding.container import NO_WEIGHTS, read_file, unpack
    from course_lib.metrics import bits_per_pixel

    contents = unpack(read_file(_input(options.file)))
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


def _input(name: str):
    """The file to read, or the stream that ``-`` stands for."""
    if name != "-":
        return name
    if sys.stdin is None:
        raise InputError("Standard input is closed. Name a file, or send one: PROGRAM | course …")
    return sys.stdin.buffer


def _output(name: str, source: str) -> str:
    """The place to write to, checked before any work is done."""
    from course_lib.paths import STDOUT, check_output

    if name == "-":
        name = STDOUT
        if sys.stdout.isatty():
            raise InputError(
                "Standard output is a terminal, which shows no file. Name one, or send the output "
                "on: -o - | PROGRAM."
            )
    elif os.path.isdir(name):
        raise InputError(f"{name} is a folder. Add the name of the file to write.")
    check_output(name, source=0 if source == "-" else source)
    return name


@contextlib.contextmanager
def _while_read(out: str) -> Iterator[None]:
    """Write; end quietly if that goes to standard output, which nobody reads any more."""
    from course_lib.paths import is_standard_output

    try:
        yield
    except CourseError as error:
        if isinstance(error.__cause__, BrokenPipeError) and is_standard_output(out):
            sys.exit(UNREAD)
        raise


def _tell(out: str, what: str) -> None:
    """Say what was written, where it does not get into it."""
    from course_lib.paths import is_standard_output

    if is_standard_output(out):
        print(what, file=sys.stderr)
    else:
        print(f"{out}: {what}")
