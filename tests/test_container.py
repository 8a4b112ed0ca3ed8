"""The file format: what was packed comes out, and nothing else does."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.coding import container
from course_lib.coding.container import Header, pack, unpack
from course_lib.errors import BitstreamError, CourseError
from course_lib.images import MAX_PIXELS

HEADER = Header(codec_id=7, quality=130, height=300, width=451, fingerprint=b"\xde\xad\xbe\xef")
SEGMENTS = (b"first", b"", b"the third segment" * 8)


def varint(value: int) -> bytes:
    low, high = value & 127, value >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def forge(header: bytes, segments=(b"payload",)) -> bytes:
    """A file with correct checksums around any header, written apart from the library's code."""
    crc = zlib.crc32(header)
    file = header + struct.pack(">I", crc)
    for index, payload in enumerate(segments):
        length = varint(2 * len(payload) + (index + 1 < len(segments)))
        crc = zlib.crc32(length + payload, crc)
        file += length + struct.pack(">I", crc) + payload
    return file


def header_bytes(version=1, codec_id=7, quality=1, fingerprint=bytes(4), height=2, width=3):
    sizes = varint(height) + varint(width)
    return b"LIC" + bytes([version, codec_id]) + varint(quality) + fingerprint + sizes


def refused(data, because=None, **options):
    with pytest.raises(BitstreamError, match=because):
        unpack(data, **options)


@st.composite
def any_header(draw) -> Header:
    height = draw(st.integers(1, MAX_PIXELS))
    return Header(
        codec_id=draw(st.integers(1, 255)),
        quality=draw(st.integers(1, container.MAX_QUALITY)),
        height=height,
        width=draw(st.integers(1, MAX_PIXELS // height)),
        fingerprint=draw(st.binary(min_size=4, max_size=4)),
    )


segment_lists = st.lists(st.binary(max_size=300), min_size=1, max_size=6)


def test_golden_file_is_still_written_and_read():
    golden = bytes.fromhex(
        "4c4943 01 07 8201 deadbeef ac02 c303 3228e356"  # 300 is 2c + 2·80: ac02; 451 is c303
        "0b 789ca8e0 6669727374"  # 5 bytes and another segment: 2·5 + 1
        "00 7270915d"
    )
    assert pack(HEADER, [b"first", b""]) == golden
    assert unpack(golden).segments == (b"first", b"")


@given(any_header(), segment_lists)
def test_what_was_packed_comes_out(header, segments):
    data = pack(header, segments)
    contents = unpack(data)
    assert contents.header == header
    assert contents.segments == tuple(segments)
    assert contents.num_bytes == len(data)
    assert contents.payload_bytes == container.payload_size(data) == sum(map(len, segments))


@given(any_header(), segment_lists)
def test_format_is_as_documented(header, segments):
    expected = header_bytes(
        1, header.codec_id, header.quality, header.fingerprint, header.height, header.width
    )
    assert pack(header, segments) == forge(expected, segments)


@given(any_header())
def test_header_has_16_to_20_bytes(header):
    data = pack(header, [b""])
    assert 16 <= unpack(data).header_bytes == len(data) - 5 <= container.MAX_HEADER_BYTES == 20


@pytest.mark.parametrize(
    "length, cost", [(0, 5), (63, 5), (64, 6), (8191, 6), (8192, 7), (2**20 - 1, 7), (2**20, 8)]
)
def test_segment_costs_as_many_bytes_as_documented(length, cost):
    header = Header(1, 1, 4096, 4096)
    one, two = pack(header, [b""]), pack(header, [b"", bytes(length)])
    assert len(two) - len(one) - length == cost


def test_every_truncation_is_refused():
    data = pack(HEADER, SEGMENTS)
    for end in range(len(data)):
        refused(data[:end], "cut|empty")


def test_every_flipped_bit_is_refused():
    data = pack(HEADER, SEGMENTS)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(bytes(damaged))


@given(st.binary(min_size=1, max_size=40))
def test_bytes_after_the_end_are_refused(more):
    refused(pack(HEADER, SEGMENTS) + more, "follow the last segment")


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data):
    refused(data)
    refused(data, partial=True)


def frames(data):
    """The header and each segment with its frame, as slices of a file."""
    ends = [unpack(data).header_bytes]
    for payload in unpack(data).segments:
        ends.append(ends[-1] + len(varint(2 * len(payload))) + 4 + len(payload))
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True) if b > a]


def test_segments_count_only_in_their_place_and_file():
    head, *segments = frames(pack(HEADER, [b"aaaa", b"bbbb", b"cccc", b"dddd"]))
    other = frames(pack(Header(7, 131, 300, 451), [b"aaaa", b"bbbb", b"cccc", b"dddd"]))
    a, b, c, d = segments
    assert unpack(head + a + b + c + d).segments == (b"aaaa", b"bbbb", b"cccc", b"dddd")
    for moved in ([b, a, c, d], [a, c, d], [a, b, b, c, d], [d], [a, b, c, other[4]], other[1:]):
        refused(head + b"".join(moved), "checksum")
    refused(other[0] + a + b + c + d, "checksum")


@pytest.mark.parametrize(
    "header, because",
    [
        (header_bytes(version=2), "version 2; expected 1"),
        (header_bytes(codec_id=0), "codec id of 0"),
        (header_bytes(quality=0), "quality of 0"),
        (header_bytes(quality=2**14), "quality of 16,384"),
        (header_bytes(height=0), "height of 0"),
        (header_bytes(width=0), "width of 0"),
        (header_bytes(height=2**13 + 1, width=2**13), "number of pixels"),
        (header_bytes(height=2**30, width=2**30), "height of"),
        (header_bytes(height=2**35 - 1, width=2**35 - 1), "height of"),
        (header_bytes(height=2**35), "not in the form"),
        (header_bytes()[:-2] + b"\x82\x00\x03", "not in the form"),  # a 2 in two bytes
        (b"JPG" + header_bytes()[3:], "starts with b'JPG'; expected b'LIC'"),
    ],
)
def test_header_outside_the_limits_is_refused_although_its_checksum_is_right(header, because):
    refused(forge(header), because)
    refused(forge(header), because, partial=True)


def test_forger_of_these_tests_makes_a_good_file_of_a_good_header():
    assert unpack(forge(header_bytes())).segments == (b"payload",)


def test_file_larger_than_any_picture_of_its_size_is_refused():
    header = Header(1, 1, 10, 10)
    most = container.max_file_bytes(10, 10)
    fits = pack(header, [bytes(most - len(pack(header, [bytes(9000)])) + 9000)])
    assert len(fits) == most
    assert unpack(fits).header == header
    refused(pack(header, [bytes(most)]), "expected at most 65,936")


@pytest.mark.parametrize("wrong", ["photo.lic", None, 7, bytearray(b"LIC"), memoryview(b"LIC")])
def test_what_is_not_bytes_is_refused_by_name(wrong):
    refused(wrong, type(wrong).__name__)


def test_file_without_segments_cannot_be_packed():
    with pytest.raises(ValueError, match="no segments"):
        pack(HEADER, [])


def test_partial_reading_stops_at_the_last_whole_segment():
    segments = [b"a" * 10, b"", b"b" * 200, b"c"]
    data = pack(HEADER, segments)
    ends = [sum(map(len, frames(data)[: n + 1])) for n in range(5)]
    for end in range(len(data) + 1):
        whole = sum(end >= segment_end for segment_end in ends[1:])
        if whole == 0:
            refused(data[:end], partial=True)
            continue
        contents = unpack(data[:end], partial=True)
        assert contents.segments == tuple(segments[:whole])
        assert contents.num_bytes == ends[whole]


def test_partial_reading_never_returns_a_damaged_segment():
    segments = (b"a" * 10, b"", b"b" * 20, b"c")
    data = pack(HEADER, segments)
    first_end = len(b"".join(frames(data)[:2]))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        if bit // 8 < first_end:
            refused(bytes(damaged), partial=True)
        else:
            found = unpack(bytes(damaged), partial=True).segments
            assert found == segments[: len(found)] and len(found) < len(segments)


def test_partial_reading_leaves_out_what_follows_the_end():
    data = pack(HEADER, SEGMENTS)
    contents = unpack(data + b"more", partial=True)
    assert (contents.segments, contents.num_bytes) == (SEGMENTS, len(data))


def test_reading_a_file_goes_no_further_than_its_header_allows(tmp_path):
    path = tmp_path / "huge.lic"
    data = pack(Header(1, 1, 10, 10), [b"payload"])
    path.write_bytes(data)
    assert container.read_file(path) == data
    with path.open("r+b") as file:
        file.truncate(2**40)  # sparse: takes no space
    assert len(container.read_file(path)) == container.max_file_bytes(10, 10) + 20
    refused(container.read_file(path), "expected at most")


def test_reading_what_is_no_file_of_ours_says_so(tmp_path):
    with pytest.raises(BitstreamError, match=r"/dev/zero: .*expected b'LIC'"):
        container.read_file("/dev/zero")
    with pytest.raises(CourseError, match="No such file"):
        container.read_file(tmp_path / "absent.lic")
    with pytest.raises(CourseError, match="directory"):
        container.read_file(tmp_path)
