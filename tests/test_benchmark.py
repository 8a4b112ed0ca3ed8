"""The benchmark compares what it says: the numbers are measured elsewhere, by `make bench`."""

import benchmark
import numpy as np
import torch
from benchmark import ChannelsFirst, Coder, Times

from course_lib.models.balle2017 import Balle2017, Balle2017Config

TINY = Balle2017Config(num_channels=4, num_latents=6)


def test_all_take_turns_and_the_first_round_does_not_count():
    order = []
    coders = {
        name: Coder(lambda name=name: order.append(name) or name, str.upper) for name in ("a", "b")
    }
    times = benchmark.take_turns(coders, rounds=3)
    assert order == ["a", "b"] * 4
    assert len(times["a"].encode) == len(times["b"].decode) == 3
    assert times["b"].data == "b" and times["b"].decoded == "B"


def test_the_fastest_rounds_are_compared():
    times = Times([3.0, 1.0, 2.0], [6.0, 5.0, 4.0], b"", np.empty(0))
    assert benchmark.fastest_total(times) == 5.0
    assert benchmark.kinds_of_time(times)["encode_ms_median"] == 2000


def test_the_plain_network_keeps_its_layout_and_the_other_does_not():
    """Seen by the network itself, in the loop that is timed."""

    def layouts(model):
        seen = set()
        kernel = model.analysis[2].weight
        model.register_forward_pre_hook(
            lambda *_: seen.add(
                "last" if kernel.is_contiguous(memory_format=torch.channels_last) else "first"
            )
        )
        assert len(benchmark.seconds_per_step(model, low_precision=False, steps=2)) == 2
        return seen

    assert layouts(ChannelsFirst(TINY)) == {"first"}
    assert layouts(Balle2017(TINY)) == {"last"}


def test_the_latents_are_coded_within_a_hundredth_of_a_percent_of_the_ideal():
    symbols, probabilities = benchmark.laplace_latents()
    shares = np.take_along_axis(
        probabilities[:, None, None], symbols[..., None] + benchmark.REACH, axis=3
    )
    ideal = -np.log2(shares).sum()
    coder = benchmark.course(symbols, probabilities)
    data = coder.encode()
    assert ideal <= 8 * len(data) <= 1.0001 * ideal
    assert np.array_equal(coder.decode(data), symbols)
