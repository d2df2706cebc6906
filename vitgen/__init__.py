"""vitgen: FPGA accelerators for quantized Vision Transformers.

Importing the package loads neither torch nor any vendor library.
"""

from vitgen.errors import VitgenError

__version__ = "0.1.0"

__all__ = ["VitgenError", "__version__"]
