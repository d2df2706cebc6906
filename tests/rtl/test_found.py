"""The smallest programs of what random ones found: what was wrong once stays right."""

from tests.rtl.fuzz_bench import failures
from tests.rtl.fuzz_expressions import Struct, Variable
from tests.rtl.fuzz_program import Memory, Program, Stream, line

_BYTE = Variable("", 8, False)
_COMMAND = Struct(
    "found_command",
    (
        Variable("stop", 1, False),
        Variable("count", 3, False),
        Variable("bits", 8, False),
        Variable("more", 21, False),
        Variable("last", 1, False),
    ),
)
_STREAMS = [
    Stream("in0", "ap_uint<8>", (_BYTE,), False),
    Stream("out0", "ap_uint<8>", (_BYTE,), True),
]
_BANK = Memory("look0_rd", _BYTE, 8, 3, "read", 1)
_WIDE_BANK = Memory("look0_rd", Variable("", 25, False), 8, 3, "read", 1)
_RAM = Memory("ram0", _BYTE, 8, 3, "ram", 1)


def made(body: str, memories: tuple[Memory, ...] = ()) -> Program:
    """A process that runs the body once a command, and takes eight bytes for each at most."""
    rams = [
        f"ap_uint<8> {one.name}[{one.depth}];\n"
        f"#pragma HLS bind_storage variable={one.name} type=ram_2p\n"
        for one in memories
        if one.kind == "ram"
    ]
    text = (
        f"{''.join(rams)}while (true) {{\n"
        "const found_command command = commands.read();\n"
        f"if (command.stop) break;\n{body}\n}}"
    )
    return Program(1, [_COMMAND], [line(text)], _STREAMS, list(memories), _COMMAND, 1, {"in0": 8})


PROGRAMS = {
    # XLS's optimizer takes a selection between a received value and 0 for the value: it is 0 for XLS
    # where nothing is received, but not in the module.
    "nothing_received": made("""
        ap_uint<8> x = 0;
        if (command.bits[0]) x = in0.read();
        out0.write(x);"""),
    "nothing_received_in_a_loop": made("""
        for (ap_uint<4> i = 0; i < 8; ++i) {
        #pragma HLS pipeline II=1
          ap_uint<8> x = 0;
          if (command.bits[i]) x = in0.read();
          out0.write(x);
        }"""),
    "no_answer_of_a_bank": made("""
        for (ap_uint<4> i = 0; i < 8; ++i) {
        #pragma HLS pipeline II=1
          ap_uint<8> x = 0;
          if (command.bits[i]) x = look0_rd[i];
          out0.write(x);
        }""", (_BANK,)),
    # The compiler would keep the word in a register and write it behind the loop.
    "one_word_of_a_ram_in_both_branches": made("""
        for (ap_uint<4> i = 0; i < 8; ++i) {
        #pragma HLS pipeline II=1
          ram0[i] = in0.read();
        }
        ap_uint<8> x = 0;
        for (ap_uint<4> i = 0; i < 8; ++i) {
        #pragma HLS pipeline II=1
          if (command.bits[i]) ram0[4] = i;
          else x = ram0[4];
          out0.write(x);
        }""", (_RAM,)),
    # Only the write may wait for the answer: the end of the iteration does not depend on it.
    "a_branch_at_an_answer": made("""
        for (ap_uint<4> i = 0; i < 8; ++i) {
        #pragma HLS pipeline II=1
          if (look0_rd[i] & 1) out0.write(i);
        }""", (_BANK,)),
    # The compiler makes a selection of two distances in bytes.
    "one_of_two_words": made("""
        for (ap_uint<4> i = 0; i < 8; ++i) {
        #pragma HLS pipeline II=1
          out0.write(command.bits[i] ? look0_rd[1] : look0_rd[6]);
        }""", (_WIDE_BANK,)),
    # The compiler computes the distance in bytes itself.
    "an_index_in_bytes": made("""
        out0.write(look0_rd[ap_uint<2>(ap_int<2>(command.last - (-1)))]);""", (_WIDE_BANK,)),
}  # fmt: skip


def test_rtl_equals_cpp(tmp_path):
    assert failures(PROGRAMS, tmp_path, tmp_path) == {}
