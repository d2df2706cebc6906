"""Time and memory of building DeiT-B without verification, and of importing the package.

``python -m benchmarks.build``; bounds of the issue: 60 s and 6 GB, 0.3 s.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORTS = 5


def timed(arguments: list[str]) -> float:
    """Seconds of a Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the figures."""
    bare = min(timed(["-c", "pass"]) for _ in range(IMPORTS))
    full = min(timed(["-c", "import vitgen"]) for _ in range(IMPORTS))
    print(f"import vitgen: {full - bare:.3f} s beyond a bare interpreter")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "deit_b"
        seconds = timed(
            ["-m", "vitgen.cli", "build", "--model", "deit_b", "--bits", "4/8", "--out", str(out)]
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        again = timed(["-m", "vitgen.cli", "build", "--model", "deit_b", "--bits", "4/8",
                       "--out", str(out)])
    print(f"vitgen build --model deit_b --bits 4/8: {seconds:.1f} s, peak {peak:.2f} GiB")
    print(f"the same again, nothing to do: {again:.1f} s")


if __name__ == "__main__":
    main()
