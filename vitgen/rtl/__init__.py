"""The open road: the emitted C++ becomes SystemVerilog through clang and XLS, with no vendor tool.

:mod:`~vitgen.rtl.clang` compiles one process to LLVM IR, :mod:`~vitgen.rtl.llvm` reads that,
:mod:`~vitgen.rtl.translate` makes an XLS process of it, and :mod:`~vitgen.rtl.xls` schedules it and
generates SystemVerilog.
"""
