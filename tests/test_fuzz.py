"""Damaged and forged files: an error or, where a forger repaired the checksums, any picture; never
a crash, a hang, another exception, or more memory than the size in the header allows.

The tests take a fixed number of inputs. By hand, for as long as one likes, with new inputs for
each seed::

    python tests/test_fuzz.py --minutes 10 --seed 1
"""

import argparse
import contextlib
import json
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from course_lib import cli
from course_lib.codecs import CODECS, decode, encode
from course_lib.coding.container import Header, pack, unpack
from course_lib.errors import BitstreamError, CourseError

SECONDS_FOR_ONE = 60  # then it is a hang; 2^26 honest pixels take 4 to 11
BYTES_PER_PIXEL = 24  # that decoding may take; 2^26 honest pixels take 10 to 19
BYTES_FOR_ANY = 48 * 2**20  # libraries' buffers and threads, and pages not yet given back
ADDRESS_SPACE = 6 * 2**30  # keeps the machine alive where a limit fails
ANSWERS = {b"E": "error", b"P": "picture", b"X": "WRONG EXCEPTION", b"M": "TOO MUCH MEMORY"}
SIZES = ((1, 1), (1, 40), (9, 13), (17, 24), (67, 129))


# --- The worker: decodes one input after another, in a process that may die -----------------------


def worker() -> None:
    """Answer each length-prefixed input on stdin by one byte: what became of it."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    while prefix := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(int.from_bytes(prefix))
        signal.alarm(SECONDS_FOR_ONE)
        before = _memory(reset_peak=True)
        answer, allowed = _verdict(data)
        if _memory() - before > allowed:
            answer = b"M"
        signal.alarm(0)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


def _verdict(data: bytes) -> tuple[bytes, int]:
    """E: an error as promised, P: a picture of the size in the header, X: anything else."""
    allowed = BYTES_FOR_ANY
    try:
        header = unpack(data).header
        allowed += BYTES_PER_PIXEL * header.height * header.width
        picture = decode(data)
    except CourseError as error:
        return (b"E" if len(str(error)) > 20 else b"X"), allowed
    except Exception:
        import traceback

        traceback.print_exc()
        return b"X", allowed
    is_right = picture.dtype == np.uint8 and picture.shape == (header.height, header.width, 3)
    return (b"P" if is_right else b"X"), allowed


def _memory(reset_peak: bool = False) -> int:
    """Bytes of memory in use at the peak since the last reset; 0 where Linux does not tell."""
    with contextlib.suppress(OSError):
        if reset_peak:
            Path("/proc/self/clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    return 0


class Worker:
    """A worker process, started anew when an input ends it."""

    def __init__(self, log: Path):
        self.log = log
        self._start()

    def _start(self) -> None:
        # Warnings become exceptions: a decoder that only warns about damage is seen too.
        command = [sys.executable, "-W", "error", __file__, "--worker"]
        with self.log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def try_to_decode(self, data: bytes) -> str:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(struct.pack(">I", len(data)) + data)
            self._process.stdin.flush()
        answer = self._process.stdout.read(1)
        if answer:
            return ANSWERS[answer]
        status = self._process.wait()
        self._start()
        return "HANG" if status == -signal.SIGALRM else f"CRASH {status}"

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(SECONDS_FOR_ONE)
        self._process.stdout.close()


# --- Inputs ---------------------------------------------------------------------------------------


def picture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A ramp, a flat colour, noise, or a mixture of them."""
    ramp = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 120, width))[..., None]
    noise = random.integers(0, 256, (height, width, 3))
    weight = random.choice([0, 0.1, 1])
    return np.rint((1 - weight) * (ramp + random.integers(0, 16, 3)) + weight * noise).astype("u1")


def files(random: np.random.Generator, name: str) -> Iterator[bytes]:
    """Whole files of one codec, of several sizes and qualities."""
    while True:
        for size in SIZES:
            qualities = CODECS[name].qualities
            place = len(qualities) ** random.random()  # low ones as often as high ones
            yield encode(picture(random, *size), name, qualities[int(place) - 1])


def damaged(random: np.random.Generator, data: bytes) -> bytes:
    """Bytes with one kind of damage: flipped bits, other bytes, or a piece lost, doubled, added."""
    damaged = bytearray(data)
    if not damaged:
        return random.bytes(3)
    start = int(random.integers(len(damaged)))
    end = start + int(random.integers(1, 2 + min(40, len(damaged) - start)))
    match random.integers(7):
        case 0:
            damaged[start] ^= 1 << int(random.integers(8))
        case 1:
            for place in random.integers(len(damaged), size=int(random.integers(1, 30))):
                damaged[place] ^= 1 << int(random.integers(8))
        case 2:
            damaged[start:end] = random.bytes(end - start)
        case 3:
            damaged[start:end] = bytes([random.choice([0, 255])]) * (end - start)
        case 4:
            del damaged[start:end]
        case 5:
            damaged[start:start] = damaged[start:end]
        case 6:
            del damaged[start:]
    return bytes(damaged)


def forged_header(random: np.random.Generator, data: bytes, other: bytes) -> bytes:
    """A file whose header says something else: the codec, the quality, the size, the weights."""
    header = unpack(data).header
    height, width = header.height, header.width
    match random.integers(6):
        case 0:
            height, width = width, height
        case 1:
            height = int(random.integers(1, 2 * height + 2))
        case 2:
            height, width = 2**13, 2**13  # the most that a header may say
        case 3:
            width = int(2 ** random.uniform(0, 26)) // height + 1
    id = header.codec_id if random.random() < 0.7 else int(random.integers(1, 256))
    quality = header.quality if random.random() < 0.7 else int(2 ** random.uniform(0, 14))
    weights = header.fingerprint if random.random() < 0.9 else random.bytes(4)
    segments = unpack(data if random.random() < 0.7 else other).segments
    return pack(Header(id, quality, height, width, weights), segments)


def forged_size(random: np.random.Generator, data: bytes) -> bytes:
    """A file whose header and codestream agree on another size than the pixels are coded for."""
    contents = unpack(data)
    height, width = contents.header.height, contents.header.width
    new_height = int(random.choice([1, height, 2 * height, 500, 8192]))
    new_width = int(random.choice([1, width, 2 * width, 500, 8192]))
    segments = list(contents.segments)
    name = next(
        name for name, entry in CODECS.items() if entry.codec_id == contents.header.codec_id
    )
    sizes = {  # how a format writes height and width: where they stand together, once
        "jpeg-plain": lambda h, w: struct.pack(">HH", h, w),
        "jpeg": lambda h, w: struct.pack(">HH", h, w),
        "jpeg2000": lambda h, w: struct.pack(">II", w, h),
        "webp": lambda h, w: struct.pack("<HH", w, h),
    }
    if name in sizes:
        old, new = sizes[name](height, width), sizes[name](new_height, new_width)
        segments[0] = segments[0].replace(old, new)
    elif name == "avif":
        segments[0] = av1_of_another_size(segments[0], new_height, new_width)
    header = contents.header
    return pack(Header(header.codec_id, header.quality, new_height, new_width), segments)


def av1_of_another_size(codestream: bytes, height: int, width: int) -> bytes:
    """An AV1 still picture whose sequence header states another size."""
    start = codestream.index(b"\x0a")
    sequence = codestream[start + 2 : start + 2 + codestream[start + 1]]
    bits = "".join(f"{byte:08b}" for byte in sequence)
    numbers = [int(bits[10:14], 2) + 1, int(bits[14:18], 2) + 1]
    rest = bits[18 + sum(numbers) :]
    new = f"{bits[:10]}{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}{rest}"
    new = new.rstrip("0")  # it ends in a bit of 1, and zeros up to a whole byte
    new += "0" * (-len(new) % 8)
    sequence = int(new, 2).to_bytes(len(new) // 8)
    unit = b"\x0a" + bytes([len(sequence)]) + sequence
    return codestream[:start] + unit + codestream[start + 2 + codestream[start + 1] :]


def inputs(random: np.random.Generator, name: str) -> Iterator[tuple[str, bytes, bool]]:
    """Endless inputs for one codec: their kind, the bytes, whether a picture is an answer."""
    originals, others = files(random, name), files(random, str(random.choice(list(CODECS))))
    for data in originals:
        other = next(others)
        cut = int(random.integers(len(data)))
        flipped = bytearray(data)
        flipped[cut] ^= 1 << int(random.integers(8))
        magic_and_version = random.choice([b"LIC", b"LIB", b"RIFF"]) + random.bytes(1)
        start = unpack(data).header_bytes
        yield "whole", data, True
        without_repair = {
            "empty": b"",
            "cut": data[:cut],
            "one bit flipped": bytes(flipped),
            "bytes after the end": data + random.bytes(int(random.integers(1, 50))),
            "random bytes": random.bytes(cut),
            "random bytes after the header": data[:start] + random.bytes(cut),
            "other magic or version": magic_and_version + data[4:],
            "header of another file": other[: unpack(other).header_bytes] + data[start:],
        }
        for kind, changed in without_repair.items():
            yield kind, changed, changed == data
        for _ in range(4):
            changed = damaged(random, data)
            yield "damaged", changed, changed == data
        for _ in range(30):
            segments = [damaged(random, segment) for segment in unpack(data).segments]
            repaired = pack(unpack(data).header, segments)
            yield "damaged, checksums repaired", repaired, True
        for _ in range(4):
            forged = forged_header(random, data, other)
            yield "other header, checksums repaired", forged, True
            yield "other size in header and payload", forged_size(random, data), True


def fuzz(names: list[str], seed: int, folder: Path, go_on) -> dict[str, dict[str, Counter]]:
    """Try inputs while ``go_on(number of inputs)``; returns counts: codec → kind → what became.

    Inputs that were not taken as they should be are kept in ``folder``, with what became of them
    in capitals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decoder = Worker(folder / "log.txt")
    generators = {
        name: inputs(np.random.default_rng([seed, i]), name) for i, name in enumerate(names)
    }
    counts = {name: {} for name in names}
    number = 0
    while go_on(number):
        name = names[number % len(names)]
        kind, data, may_be_picture = next(generators[name])
        became = decoder.try_to_decode(data)
        if became == "picture" and not may_be_picture:
            became = "WRONG PICTURE"
        if became == "error" and kind == "whole":
            became = "REFUSED"
        if became.isupper():
            (folder / f"{name}-{number}-{became.lower().replace(' ', '-')}.lic").write_bytes(data)
        counts[name].setdefault(kind, Counter())[became] += 1
        number += 1
    decoder.close()
    return counts


def failures(counts: dict[str, dict[str, Counter]]) -> Counter:
    everything = sum((kind for kinds in counts.values() for kind in kinds.values()), Counter())
    return Counter({became: n for became, n in everything.items() if became.isupper()})


# --- Tests ----------------------------------------------------------------------------------------


def small_file(name: str) -> bytes:
    return encode(picture(np.random.default_rng(0), 9, 13), name, CODECS[name].qualities[:10][-1])


@pytest.mark.parametrize("name", CODECS)
def test_every_truncation_of_a_file_is_refused(name):
    data = small_file(name)
    for end in range(len(data)):
        with pytest.raises(BitstreamError):
            decode(data[:end])


@pytest.mark.parametrize("name", CODECS)
def test_every_flipped_bit_of_a_file_is_refused(name):
    data = small_file(name)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            decode(bytes(flipped))


def test_damaged_and_forged_files_end_in_an_error_or_a_picture(tmp_path):
    counts = fuzz(list(CODECS), 0, tmp_path, lambda number: number < 600 * len(CODECS))
    log = (tmp_path / "log.txt").read_text()
    assert not failures(counts), f"{failures(counts)}\n{log[-3000:]}"
    for name, kinds in counts.items():
        repaired = kinds["damaged, checksums repaired"]
        # Of range-coded symbols hardly any forgery is what an encoder writes: they are refused.
        reached = repaired["picture"] or CODECS[name].is_learned
        assert repaired["error"] and reached, f"{name} was not reached: {repaired}"


def test_command_line_answers_damaged_files_in_one_line(tmp_path, capsys):
    for name in CODECS:
        generator = inputs(np.random.default_rng(1), name)
        for number in range(60):
            kind, data, _ = next(generator)
            source, target = tmp_path / f"{name}{number}.lic", tmp_path / f"{name}{number}.png"
            source.write_bytes(data)
            status = cli.main(["decode", str(source), "-o", str(target)])
            _, err = capsys.readouterr()
            assert status == (0 if target.exists() else 1), kind
            assert err.count("\n") == status and "Traceback" not in err, err


BROKEN_DECODER = """
import os, sys
sys.path.insert(0, {folder!r})
import test_fuzz

def decode(data):
    match test_fuzz.unpack(data).header.quality:
        case 1:
            bytearray(b"1") * 2**27
        case 2:
            raise KeyError("unexpected")
        case 3:
            os.abort()
        case 4:
            while True:
                pass
    return test_fuzz.np.zeros((9, 13, 3), "u1")

test_fuzz.decode = decode
test_fuzz.SECONDS_FOR_ONE = 5
test_fuzz.worker()
"""


def test_fuzzer_sees_the_defects_of_a_broken_decoder(tmp_path, monkeypatch):
    """Without this, no failure could mean no fuzzing."""
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN_DECODER.format(folder=str(Path(__file__).parent)))
    monkeypatch.setattr(sys.modules[__name__], "__file__", str(broken))
    decoder = Worker(tmp_path / "log.txt")
    expected = ["TOO MUCH MEMORY", "WRONG EXCEPTION", "CRASH -6", "HANG", "picture"]
    qualities = range(1, 6)
    became = [
        decoder.try_to_decode(pack(Header(1, quality, 9, 13), [b""])) for quality in qualities
    ]
    became.append(decoder.try_to_decode(pack(Header(1, 5, 9, 14), [b""])))
    decoder.close()
    assert became == [*expected, "WRONG EXCEPTION"]  # the last: a picture of another size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS))
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker()
        return 0
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    end = time.monotonic() + 60 * options.minutes
    counts = fuzz(options.codecs, options.seed, folder, lambda _: time.monotonic() < end)
    number = sum(sum(kind.values()) for kinds in counts.values() for kind in kinds.values())
    summary = {"seed": options.seed, "inputs": number, "failures": failures(counts)}
    print(json.dumps(summary | {"codecs": counts}, indent=1))
    if failures(counts):
        print(f"The inputs that failed are in {folder}.", file=sys.stderr)
    return 1 if failures(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
