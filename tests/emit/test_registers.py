"""The register map against published maps of Vitis HLS.

Each case states the facts of one generated ``_hw.h``: names and widths of the arguments in order, and
where Vitis put them. Each source is named beside its case.
"""

import re

import pytest

from tests.emit import engines
from vitgen.emit import registers, wiring
from vitgen.emit.registers import place

PUBLISHED: dict[str, list[tuple[str, int, int]]] = {
    # 2025.1: A-Duc/LLama2_110M-Inference_Architecture_on_FPGA, Referrence_Code/Demo/
    # matmul_simple_hls/solution1/impl/misc/drivers/kernel_matmul_v1_0/src/xkernel_matmul_hw.h
    "pointers, then scalars": [
        ("i_vec", 64, 0x10), ("i_mat", 64, 0x1C), ("o_vec", 64, 0x28), ("vec_size", 32, 0x34),
        ("col_size", 32, 0x3C),
    ],
    # 2024.2: wanone111/FPGA_Code,
    # FIR/build_linux/lk_prj/solution1/impl/ip/drivers/fir_top_v1_0/src/xfir_top_hw.h
    "three pointers and a length": [
        ("y", 64, 0x10), ("x", 64, 0x1C), ("coef", 64, 0x28), ("len", 32, 0x34),
    ],
    # 2023.1: CTSRD-CHERI/cheri-hls, examples/spmv_crs/bare_metal_cpu_hls_fg/xhls_top_hw.h, up to the
    # first argument that the function writes
    "a scalar before pointers": [
        ("size", 32, 0x10), ("xval", 64, 0x18), ("xcols", 64, 0x24), ("xrowDelimiters", 64, 0x30),
        ("xvec", 64, 0x3C), ("xout", 64, 0x48),
    ],
    # 2023.1.1: motchy869/CompleteWork_of_FPGA_Xilinx_2nd_edition,
    # 11-1_hls_pattern_draw/fpga/ips/patblt/drivers/patblt_v1_0/src/xpatblt_hw.h
    "scalars of 10 bits": [
        ("dst_out", 64, 0x10), ("xpos", 10, 0x1C), ("ypos", 10, 0x24), ("width", 10, 0x2C),
        ("height", 10, 0x34), ("color", 32, 0x3C),
    ],
    # 2022.2: Rerecich/EE390a, Midterm/2-CacheFilterCoeffs/Vitis_CacheFilterCoeffs/solution1/impl/ip/
    # drivers/Conv2D_HW_v1_0/src/xconv2d_hw_hw.h
    "a bool at the end": [
        ("input", 64, 0x10), ("output", 64, 0x1C), ("coeffs", 64, 0x28), ("biases", 64, 0x34),
        ("numChannels", 32, 0x40), ("numFilters", 32, 0x48), ("inputWidth", 32, 0x50),
        ("inputHeight", 32, 0x58), ("convWidth", 32, 0x60), ("convHeight", 32, 0x68),
        ("apply_relu", 1, 0x70),
    ],
    # 2022.1: UCLA-VAST/TAPA-CS, apps/vadd/VecAdd_1/.autopilot/db/driver/src/xvecadd_1_hw.h
    "a scalar of 64 bits": [("a", 64, 0x10), ("b", 64, 0x1C), ("c", 64, 0x28), ("n", 64, 0x34)],
    # 2022.1: sakana28/Project, SOBEL_HDMI_1024/SOBEL_HDMI_1024.runs/bd_3a92_hsc_0_synth_1/prj/sol/
    # impl/misc/drivers/bd_3a92_hsc_0_v_hscaler_v1_1/src/xbd_3a92_hsc_0_v_hscaler_hw.h
    "scalars of 16 and 8 bits": [
        ("Height", 16, 0x10), ("WidthIn", 16, 0x18), ("WidthOut", 16, 0x20),
        ("ColorMode", 8, 0x28), ("PixelRate", 32, 0x30), ("ColorModeOut", 8, 0x38),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", PUBLISHED)
def test_rule_gives_published_maps(case: str) -> None:
    published = PUBLISHED[case]
    found = place([(name, width) for name, width, _ in published])
    assert [(r.name, r.width, r.offset) for r in found] == published


def test_arguments_are_those_of_the_function() -> None:
    """All of ``vit_top``'s parameters but the banks, which have ports of their own."""
    for name in engines.NAMES:
        engine = engines.make(name)
        parameters = [p for p in wiring.parameters(engine) if "[" not in p]
        expected = [(re.split(r"[ *]+", p)[-1], 64 if "*" in p else 16) for p in parameters]
        found = registers.argument_registers(engine)
        assert [(r.name, r.width) for r in found] == expected


def test_offsets_of_two_weight_ports() -> None:
    """The map by hand; the status lies behind what Vitis would use."""
    engine = engines.make("b")
    places = [*registers.argument_registers(engine), *registers.status_registers(engine)]
    assert {r.name: r.offset for r in places} == {
        "program": 0x10, "params": 0x1C, "image": 0x28, "constants": 0x34, "weights_0": 0x40,
        "weights_1": 0x4C, "output": 0x58, "instructions": 0x64, "status": 0x6C, "cycles": 0x74,
    }  # fmt: skip
    assert registers.address_bits(engine) == 7
