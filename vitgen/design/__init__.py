"""From an IR graph and a board to an accelerator: shape, schedule, program, memory map, cost."""
