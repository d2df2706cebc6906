"""How structs travel through streams: members behind each other, the first in the lowest bits.

C++ cannot list the members of a struct, so a header with the packing is made from the emitted
declarations. It compiles with the open road's ``ap_int.h`` and with any other one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HEADER = "vitgen_structs.h"

_SOURCES = ("types.h", "commands.h")
_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"^\s*([\w<> *+-]+?)\s+(\w+)(?:\[(\w+)\])?;")


@dataclass(frozen=True)
class Member:
    """A member of a struct; ``count`` names the elements of an array, "" of a number."""

    type: str
    name: str
    count: str = ""


def structs_of(files: Mapping[str, str]) -> dict[str, list[Member]]:
    """The structs of the emitted types and commands by name."""
    found = {}
    for source in _SOURCES:
        for name, body in _STRUCT.findall(files[source]):
            members = [_MEMBER.match(line) for line in body.splitlines()]
            found[name] = [Member(m[1], m[2], m[3] or "") for m in members if m]
    return found


def packing_header(files: Mapping[str, str]) -> str:
    """Text of :data:`HEADER`: ``vitgen_pack<T>`` for every struct that may travel."""
    lines = [
        "// Structs as numbers: members from bit 0 on, in their order.",
        "#ifndef VITGEN_STRUCTS_H",
        "#define VITGEN_STRUCTS_H",
        *(f'#include "{source}"' for source in _SOURCES),
        "template <class T> struct vitgen_pack;",
    ]
    for name, members in structs_of(files).items():
        lines += _specialization(name, members)
    return "\n".join([*lines, "#endif", ""])


def _specialization(name: str, members: list[Member]) -> list[str]:
    sizes = [
        f"{member.type}::width" + (f" * {member.count}" if member.count else "")
        for member in members
    ]
    lines = [
        f"template <> struct vitgen_pack<{name}> {{",
        f"  static constexpr int width = {' + '.join(sizes)};",
        "  typedef ap_uint<width> bits_t;",
        f"  static inline void pack(const {name}& value, bits_t& bits) {{",
        "    bits = 0;",
    ]
    places = [" + ".join(sizes[:index]) or "0" for index in range(len(members))]
    for member, place in zip(members, places, strict=True):
        loop, element, low = _element(member, place)
        part = f"bits_t(ap_uint<{member.type}::width>(value.{element}))"
        lines.append(f"    {loop}bits |= {part} << ({low});")
    lines += ["  }", f"  static inline void unpack(const bits_t& bits, {name}& value) {{"]
    for member, place in zip(members, places, strict=True):
        loop, element, low = _element(member, place)
        part = f"ap_uint<{member.type}::width>(bits >> ({low}))"
        lines.append(f"    {loop}value.{element} = {member.type}({part});")
    return [*lines, "  }", "};"]


def _element(member: Member, place: str) -> tuple[str, str, str]:
    if not member.count:
        return "", member.name, place
    loop = f"for (int i = 0; i < {member.count}; ++i) "
    return loop, f"{member.name}[i]", f"{place} + i * {member.type}::width"
