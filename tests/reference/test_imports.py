"""The reference runs where torch is not installed."""

import subprocess
import sys


def test_the_reference_imports_neither_torch_nor_hardware() -> None:
    code = (
        "import sys, vitgen.reference\n"
        "foreign = {'torch', 'brevitas', 'pynq', 'cocotb'} & set(sys.modules)\n"
        "above = [m for m in sys.modules if m.startswith('vitgen.')\n"
        "         and m.split('.')[1] not in ('arith', 'ir', 'errors', 'reference')]\n"
        "sys.exit(f'{foreign} {above}' if foreign or above else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
