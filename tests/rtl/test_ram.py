"""A local RAM: a word that one iteration writes is there for the next one."""

import random

import pytest

from tests.rtl.cosim import Bench, Values, random_words
from tests.rtl.engines import ENGINES
from tests.rtl.scenarios import STOP, command


@pytest.mark.parametrize("stages", [None, 6])
def test_read_one_iteration_after_the_write(tmp_path, stages):
    """With k = 1 the only word is written in one beat and read in the next ones."""
    engine, name = ENGINES["even"], "weight_replay"
    bench = Bench(engine, [name], tmp_path, stages)
    # The write of an activation leaves in the stage, so before the read of the next activation.
    assert "buffer_rd_req:send:buffer_wr_req:send:0:0" in bench.translations[name].constraints
    rng = random.Random(1)
    tiles, slots = 40, 3
    for distance in (1, 2, 3):
        commands = [command((tiles, 12), (slots, 10), (distance, 13)), STOP]
        words = random_words(rng, tiles * distance, engine.row_word_bits)
        for seed, stall in enumerate((0, 20, 50, 80)):
            bench.compare(name, Values({"commands": commands, "words": words}), seed, stall)
