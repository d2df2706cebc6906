"""Buffers, and the caches between them and the accelerator."""

import numpy as np
import pytest

from vitgen.host.memory import PAGE, DeviceMemory


def test_what_is_not_flushed_is_not_seen():
    memory = DeviceMemory()
    region = memory.allocate(64, cached=True)
    region.host[:] = range(64)
    assert not (region.dram == region.host).any()
    memory.flush(region.address + 16, 8)
    assert np.flatnonzero(region.dram == region.host).tolist() == list(range(16, 24))


def test_what_is_not_invalidated_is_old():
    memory = DeviceMemory()
    region = memory.allocate(64, cached=True)
    region.host[:] = 1
    region.dram[:] = 2
    memory.invalidate(region.address + 60, 4)
    assert region.host.tolist() == [1] * 60 + [2] * 4


def test_without_a_cache_there_is_one_memory():
    region = DeviceMemory().allocate(64, cached=False)
    region.host[3] = 7
    assert region.dram[3] == 7


def test_buffers_keep_apart_and_places_are_used_again():
    memory = DeviceMemory()
    first, second, third = (memory.allocate(PAGE + 1, cached=True) for _ in range(3))
    for region in (first, second, third):
        assert region.address % PAGE == 0 and region.address >> 32
        assert memory.find(region.address) is memory.find(region.end - 1) is region
        assert memory.find(region.end) is None and memory.find(region.address - 1) is None
    assert second.address >= first.end + PAGE
    memory.free(second.address)
    assert memory.find(second.address) is None
    assert memory.allocate(3 * PAGE, cached=True).address > third.end
    assert memory.allocate(2 * PAGE, cached=True).address == second.address


def test_it_is_full_at_last():
    memory = DeviceMemory(capacity=4 * PAGE)
    first = memory.allocate(3 * PAGE, cached=True)
    with pytest.raises(RuntimeError, match="4096 are free"):
        memory.allocate(PAGE + 1, cached=True)
    memory.free(first.address)
    memory.allocate(4 * PAGE, cached=True)


def test_nothing_outside_a_buffer_is_flushed():
    memory = DeviceMemory()
    region = memory.allocate(64, cached=True)
    with pytest.raises(RuntimeError, match="in no buffer"):
        memory.flush(region.address, 65)
