"""Streams and processes of the C-sim."""

import ctypes
from ctypes import c_int, c_long

import numpy as np
import pytest

from vitgen.csim import Built, Library, SimulationFailed

INTS = ctypes.POINTER(c_int)


def ints(count: int) -> ctypes.Array[c_int]:
    return (c_int * count)()


def chain(library: Library, produced: int, consumed: int) -> list[int]:
    out = ints(max(consumed, 1))
    library.function("run_chain", [c_int, c_int, INTS])(produced, consumed, out)
    return list(out)[:consumed]


def test_sources_compile_without_a_warning(built: Built) -> None:
    assert built.warnings == ""


@pytest.mark.parametrize("seed", range(8))
def test_any_depth_gives_the_same_values(library: Library, seed: int) -> None:
    draw = np.random.default_rng(seed)
    library.set_depth("first", int(draw.integers(1, 40)))
    library.set_depth("second", int(draw.integers(1, 40)))
    count = int(draw.integers(1, 500))
    assert chain(library, count, count) == list(range(1, count + 1))


def test_runs_repeat_in_one_process(library: Library) -> None:
    for count in (1, 0, 7, 300, 2):
        assert chain(library, count, count) == list(range(1, count + 1))


def test_depth_bounds_the_fill(library: Library) -> None:
    run = library.function("run_deep", [c_int, INTS])
    fill = ints(1)
    run(5, fill)
    assert fill[0] == 5
    with pytest.raises(SimulationFailed) as failed:
        run(6, fill)
    assert failed.value.report == (
        "deadlock: no process can run\n"
        "  produce_then_go waits to write data (5/5) after 5 values written; reader: none so far\n"
        "  consume_late waits to read go (0/2) after 0 values read; writer: none so far"
    )
    library.set_depth("data", 6)
    run(6, fill)
    assert fill[0] == 6


def test_starving_consumer_is_a_deadlock(library: Library) -> None:
    with pytest.raises(SimulationFailed) as failed:
        chain(library, 10, 12)
    assert failed.value.report == (
        "deadlock: no process can run\n"
        "  consume waits to read second (0/2) after 10 values read; writer: increment"
    )
    assert chain(library, 3, 3) == [1, 2, 3]


def test_leftover_names_stream_count_and_producer(library: Library) -> None:
    with pytest.raises(SimulationFailed) as failed:
        chain(library, 10, 9)
    assert failed.value.report == (
        "leftover: stream second still holds 1 value (written: 10, read: 9), written by increment"
    )


def test_feedback(library: Library) -> None:
    run = library.function("run_feedback", [c_int, c_int, INTS, INTS])
    finished, out = ints(1), ints(64)
    run(9, 1, finished, out)
    assert finished[0] == 9
    assert list(out)[:36] == [i for count in range(9) for i in range(count)]


def test_feedback_that_waits_for_too_much(library: Library) -> None:
    run = library.function("run_feedback", [c_int, c_int, INTS, INTS])
    with pytest.raises(SimulationFailed) as failed:
        run(9, 2, ints(1), ints(64))
    lines = failed.value.report.splitlines()
    assert lines[0] == "deadlock: no process can run"
    assert "  dispatch waits to read done (0/2) after 1 values read; writer: obey" in lines
    assert "  obey waits to read commands (0/2) after 1 values read; writer: dispatch" in lines
    assert len(lines) == 4


def test_second_reader_is_refused(library: Library) -> None:
    with pytest.raises(SimulationFailed) as failed:
        library.function("run_two_readers", [INTS])(ints(8))
    assert failed.value.report == (
        "process consume#1 failed: stream shared is already read by consume#0"
    )


def test_second_writer_is_refused(library: Library) -> None:
    with pytest.raises(SimulationFailed) as failed:
        library.function("run_two_writers", [INTS])(ints(8))
    assert failed.value.report == (
        "process increment failed: stream shared is already written by produce"
    )


def test_array_of_streams(library: Library) -> None:
    run = library.function("run_grouped", [c_int, ctypes.c_void_p])
    out = np.zeros((3, 64), np.int32)
    library.set_depth("inner", 64)
    library.tap("inner[1]")
    library.tap("results[2]")
    run(20, out.ctypes.data)
    expected = 10 * np.arange(3)[:, None] + np.arange(20)[None] + 2
    assert (out[:, :20] == expected).all()
    # Named by the element's place, although the top function says inner[g].
    assert (library.tapped("inner[1]").view(np.int32)[:, 0] == expected[1] - 1).all()
    assert (library.tapped("results[2]").view(np.int32)[:, 0] == expected[2]).all()


def test_array_too_shallow_names_the_element(library: Library) -> None:
    run = library.function("run_grouped", [c_int, ctypes.c_void_p])
    with pytest.raises(SimulationFailed) as failed:
        run(64, np.zeros((3, 64), np.int32).ctypes.data)
    assert "waits to write inner[2] (2/2)" in failed.value.report
    assert "gather waits to read results[0]" in failed.value.report


def test_wide_words_and_structs(library: Library) -> None:
    sums = (c_long * 60)()
    library.function("run_records", [c_int, ctypes.POINTER(c_long)])(60, sums)
    expected = [-i + 3 * i - 100 + (i & 1) + sum(lane * i % 2048 for lane in range(32))
                for i in range(60)]
    assert list(sums) == expected


def test_region_inside_a_process(library: Library) -> None:
    run = library.function("run_nested", [c_int, c_int, INTS])
    out = ints(50)
    run(50, 50, out)
    assert list(out) == list(range(2, 52))
    with pytest.raises(SimulationFailed, match=r"consume waits to read result \(0/2\) after 40"):
        run(40, 50, out)


def test_exception_in_a_process_names_it(library: Library) -> None:
    with pytest.raises(SimulationFailed) as failed:
        library.function("run_throwing", [])()
    assert failed.value.report == "process fails failed: row 7 of 4"


def test_one_process_by_hand(library: Library) -> None:
    out = ints(30)
    with pytest.raises(SimulationFailed) as failed:
        library.function("run_by_hand", [c_int, INTS])(30, out)
    assert list(out) == [5 * i + 1 for i in range(30)]
    assert failed.value.report == (
        "the top function failed: read of the empty stream result"
    )


def test_polling_gives_way(library: Library) -> None:
    out = ints(50)
    library.function("run_polling", [c_int, INTS])(50, out)
    assert list(out) == list(range(50))


def test_scalars_are_copied(library: Library) -> None:
    out = ints(4)
    library.function("run_copies", [INTS])(out)
    assert list(out) == [2, 4, 6, 8]


def test_taps_record_until_asked_again(library: Library) -> None:
    library.tap("second")
    with pytest.raises(KeyError):
        library.tapped("second")
    chain(library, 100, 100)
    chain(library, 5, 5)
    values = library.tapped("second")
    assert values.shape == (105, 4)
    assert values.view(np.int32)[:, 0].tolist() == [*range(1, 101), *range(1, 6)]
    library.tap("second")
    assert library.tapped("second").shape == (0, 4)
    chain(library, 2, 2)
    assert library.tapped("second").view(np.int32)[:, 0].tolist() == [1, 2]


def test_depth_of_an_unknown_stream_is_reported(library: Library) -> None:
    library.set_depth("frist", 3)
    with pytest.raises(SimulationFailed, match="depth given for the stream frist, which no"):
        chain(library, 4, 4)


def test_bad_numbers_are_refused(library: Library) -> None:
    with pytest.raises(ValueError, match="depth 0 of stream first"):
        library.set_depth("first", 0)
    with pytest.raises(ValueError, match="stack of 100 bytes"):
        library.set_stack(100)
