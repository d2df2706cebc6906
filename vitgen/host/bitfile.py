"""A bitstream file that pynq downloads to a device that stands in for a board."""

import struct

from vitgen.boards import Board
from vitgen.design.engine import Engine
from vitgen.emit.hls import design_digest

# What every .bit file begins with: a field of nine bytes, and the number of the next one.
_PREAMBLE = bytes.fromhex("0009 0ff0 0ff0 0ff0 0ff0 00 0001")
_PAYLOAD = b"vitgen: a stand-in, no bitstream"


def bitfile(engine: Engine, board: Board) -> bytes:
    """A .bit file with a whole header, named like Vivado's of the design, and no configuration."""
    wrapper = f"vit_{design_digest(engine)}_wrapper"
    fields = {
        b"a": f"{wrapper};UserID=0XFFFFFFFF;Version=0.0",
        b"b": board.part,
        b"c": "1970/01/01",
        b"d": "00:00:00",
    }
    header = b"".join(
        key + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
        for key, text in fields.items()
    )
    return _PREAMBLE + header + b"e" + struct.pack(">I", len(_PAYLOAD)) + _PAYLOAD
