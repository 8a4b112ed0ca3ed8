"""Symbols per second of our range coding, beside CompressAI's rANS and torchac where they install.

    python tests/bench_entropy.py [--json data/results/entropy_benchmark.json]

The same Laplace latents for all, one table per channel; from an array of integers to bytes and
back, as each library's own models call it. All take turns, and the fastest of several rounds
counts, since other work on the machine can only slow a round down.
"""

import argparse
import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from course_lib import entropy
from course_lib.paths import atomic_write

CHANNELS, HEIGHT, WIDTH = 192, 32, 48  # what Ballé 2017 sends for a 768 × 512 picture
REACH = 100


def latents() -> tuple[np.ndarray, np.ndarray]:
    """(C, H, W) int32 in ±REACH, and the probabilities (C, 2·REACH + 2) of these and of the rest.

    Clipped, because torchac has no escape: it returns another value for one outside.
    """
    rng = np.random.default_rng(0)
    scales = np.exp(rng.uniform(np.log(0.05), np.log(10), CHANNELS))
    symbols = rng.laplace(size=(CHANNELS, HEIGHT, WIDTH)) * scales[:, None, None]
    edges = np.arange(-REACH, REACH + 2) - 0.5
    tails = 0.5 * np.exp(-np.abs(edges) / scales[:, None])
    pmfs = np.diff(np.where(edges < 0, tails, 1 - tails))
    rest = np.maximum(1 - pmfs.sum(1, keepdims=True), 2.0**-20)
    return np.rint(symbols).clip(-REACH, REACH).astype(np.int32), np.concatenate(
        [pmfs, rest], axis=1
    )


def course(symbols, probabilities):
    tables = entropy.make_tables(probabilities[:, :-1], [-REACH] * CHANNELS, probabilities[:, -1])
    return (
        lambda: entropy.encode_symbols(symbols, tables),
        lambda data: entropy.decode_symbols(data, symbols.shape, tables),
    )


def sixteen_bit_cdfs(probabilities):
    counts = np.array([entropy.integer_table(row, precision=16) for row in probabilities])
    return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))


def compressai(symbols, probabilities):
    """Lists in and out: what its coder takes, and what its entropy models make for it."""
    from compressai import ans

    cdfs = sixteen_bit_cdfs(probabilities).tolist()  # the last symbol is its escape
    lengths, offsets = [len(row) for row in cdfs], [-REACH] * CHANNELS
    indexes = np.arange(CHANNELS, dtype=np.int32)[:, None, None].repeat(HEIGHT, 1).repeat(WIDTH, 2)
    encoder, decoder = ans.RansEncoder(), ans.RansDecoder()

    def encode():
        lists = symbols.ravel().tolist(), indexes.ravel().tolist()
        return encoder.encode_with_indexes(*lists, cdfs, lengths, offsets)

    def decode(data):
        values = decoder.decode_with_indexes(data, indexes.ravel().tolist(), cdfs, lengths, offsets)
        return np.array(values, np.int32).reshape(symbols.shape)

    return encode, decode


def torchac(symbols, probabilities):
    """A table for each symbol, expanded from one for each channel: the only form it takes."""
    import torchac as coder

    cdfs = torch.from_numpy(sixteen_bit_cdfs(probabilities)).to(torch.int16)  # 65536 wraps to 0
    each = cdfs[:, None, None].expand(CHANNELS, HEIGHT, WIDTH, -1)
    positions = torch.from_numpy(symbols + REACH).to(torch.int16)
    return (
        lambda: coder.encode_int16_normalized_cdf(each, positions),
        lambda data: coder.decode_int16_normalized_cdf(each, data).numpy() - REACH,
    )


def bit_planes(symbols, probabilities):
    num_planes = int(np.abs(symbols).max()).bit_length()
    return (
        lambda: entropy.encode_bitplanes(symbols, num_planes),
        lambda data: entropy.decode_bitplanes(data, symbols.shape, num_planes),
    )


def fastest(coders: dict, symbols: np.ndarray, rounds: int) -> dict[str, tuple[float, float, int]]:
    """For each coder the seconds to encode and to decode, and the bytes of its payload."""
    seconds = {name: ([], []) for name in coders}
    size = {}
    for _ in range(rounds):
        for name, (encode, decode) in coders.items():
            start = time.perf_counter()
            data = encode()
            middle = time.perf_counter()
            decoded = decode(data)
            end = time.perf_counter()
            if not np.array_equal(decoded, symbols):
                raise RuntimeError(f"{name} did not return the symbols.")
            seconds[name][0].append(middle - start)
            seconds[name][1].append(end - middle)
            size[name] = len(data)
    return {name: (min(e), min(d), size[name]) for name, (e, d) in seconds.items()}


def measure(rounds: int) -> dict:
    symbols, probabilities = latents()
    shares = np.take_along_axis(probabilities[:, None, None], symbols[..., None] + REACH, axis=3)
    coders, missing = {}, {}
    for make in (course, compressai, torchac, bit_planes):
        try:
            coders[make.__name__] = make(symbols, probabilities)
        except ImportError as error:
            missing[make.__name__] = str(error)
    results = fastest(coders, symbols, rounds)
    planes_encode, planes_decode, _ = results.pop("bit_planes")
    bits_in_planes = symbols.size * int(np.abs(symbols).max()).bit_length()
    encode, decode, _ = results["course"]
    return {
        "what": "integers to bytes and back, one thread, millions per second in the fastest round",
        "symbols": symbols.size,
        "information_bits": round(float(-np.log2(shares).sum()), 1),
        "rounds": rounds,
        "symbol_coders": {
            name: {
                "encode": round(symbols.size / seconds_to_encode / 1e6, 2),
                "decode": round(symbols.size / seconds_to_decode / 1e6, 2),
                "payload_bits": 8 * size,
                "course_encodes_times_as_fast": round(seconds_to_encode / encode, 2),
                "course_decodes_times_as_fast": round(seconds_to_decode / decode, 2),
            }
            for name, (seconds_to_encode, seconds_to_decode, size) in results.items()
        },
        "bits_in_adaptive_planes": {
            "encode": round(bits_in_planes / planes_encode / 1e6, 2),
            "decode": round(bits_in_planes / planes_decode / 1e6, 2),
        },
        "not_installed": missing,
        "versions": {
            name: metadata.version(name)
            for name in ("constriction", "compressai", "torchac", "numpy", "torch")
            if name not in missing
        },
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = json.dumps(measure(options.rounds), indent=2) + "\n"
    if options.json:
        atomic_write(options.json, text.encode())
    print(text, end="")


if __name__ == "__main__":
    main()
