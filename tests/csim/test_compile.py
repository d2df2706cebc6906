"""Compilation, its cache and what goes wrong in it."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.csim.programs import MAIN, STREAMS
from vitgen import VitgenError
from vitgen.csim import OPTIMIZED, SANITIZED, Built, compile_library, compile_program, toolchain
from vitgen.csim.compile import default_cache

SMALL = {"top.cpp": '#include "value.h"\nint get() { return VALUE; }\n', "value.h":
         "#define VALUE 1\n"}


@pytest.mark.parametrize(
    "flags", [SANITIZED, ("-O0", "-DVITGEN_CSIM_UCONTEXT")], ids=["sanitized", "ucontext"]
)
def test_every_way_through_the_scheduler(cache: Path, flags: tuple[str, ...]) -> None:
    program = compile_program({"top.cpp": STREAMS + MAIN}, flags=flags, cache=cache)
    done = subprocess.run([program.path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sanitizer_sees_the_stacks_of_processes(cache: Path) -> None:
    source = """
        #include <hls_stream.h>
        static void writes(int at) { volatile int row[4]; row[at] = 1; }
        static void top(int at) { hls::stream<int> last("last"); PROCESS(writes, at); }
        int main(int count, char**) { return *vitgen_csim::run([&] { top(count + 3); }); }
    """
    program = compile_program({"top.cpp": source}, flags=SANITIZED, cache=cache)
    done = subprocess.run([program.path], check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "index 4 out of bounds" in done.stderr or "stack-buffer-overflow" in done.stderr


def test_same_input_is_compiled_once(cache: Path) -> None:
    first = compile_library(SMALL, cache=cache)
    stamp = first.path.stat().st_mtime_ns
    assert compile_library(SMALL, cache=cache) == first
    assert first.path.stat().st_mtime_ns == stamp


def test_every_input_counts(cache: Path) -> None:
    paths = {
        compile_library(SMALL, cache=cache).path,
        compile_library(SMALL | {"value.h": "#define VALUE 2\n"}, cache=cache).path,
        compile_library(SMALL, flags=(*OPTIMIZED, "-march=native"), cache=cache).path,
    }
    assert len(paths) == 3


def test_directory_and_dict_are_the_same(cache: Path, tmp_path: Path) -> None:
    for name, text in SMALL.items():
        (tmp_path / name).write_text(text)
    assert compile_library(tmp_path, cache=cache) == compile_library(SMALL, cache=cache)


def test_two_at_once(tmp_path: Path) -> None:
    def build(_: int) -> Built:
        return compile_library(SMALL, flags=("-O0",), cache=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(build, range(2))
    assert one == two
    # Nothing but the result, its log and the runtime is left.
    assert {file.suffix for file in tmp_path.iterdir()} == {".log", ".so", ".o"}
    assert len(list(tmp_path.glob("*.so"))) == 1


def test_linker_errors_are_shown(cache: Path) -> None:
    with pytest.raises(VitgenError, match="undefined reference to `missing"):
        compile_program({"top.cpp": "int missing();\nint main() { return missing(); }\n"},
                        cache=cache)


def test_first_error_and_log_are_named(tmp_path: Path) -> None:
    with pytest.raises(VitgenError) as error:
        compile_library({"top.cpp": "int f() {\n  return missing;\n}\n"}, cache=tmp_path)
    assert "top.cpp:2:10: error: " in error.value.problem
    assert "missing" in error.value.problem
    (log,) = tmp_path.iterdir()
    assert str(log) in error.value.remedy
    assert "missing" in log.read_text()


def test_warnings_are_kept_with_the_result(cache: Path) -> None:
    sources = {"top.cpp": "int f(int unused) { return 1; }\n"}
    first = compile_library(sources, cache=cache)
    assert "unused parameter" in first.warnings
    assert compile_library(sources, cache=cache) == first


@pytest.mark.parametrize("name", ["/etc/x.cpp", "../x.cpp", "-o.cpp"])
def test_paths_stay_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(VitgenError, match="not a relative path"):
        compile_library({name: ""}, cache=tmp_path)


def test_nothing_to_compile(tmp_path: Path) -> None:
    with pytest.raises(VitgenError, match="no C\\+\\+ source"):
        compile_library({"a.h": ""}, cache=tmp_path)
    with pytest.raises(VitgenError, match=r"'b\.cpp' to compile does not exist"):
        compile_library({"a.cpp": ""}, units=["b.cpp"], cache=tmp_path)


def test_unusable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VitgenError, match="Cannot compile in the cache directory"):
        compile_library(SMALL, cache=tmp_path / "file" / "cache")


def test_default_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "vitgen" / "csim"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache() == Path.home() / ".cache" / "vitgen" / "csim"


def test_missing_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(VitgenError, match=r"g\+\+ not found\. Install it: apt-get install g\+\+"):
        toolchain.find_compiler()
    monkeypatch.setenv("CXX", "nowhere-g++ -pipe")
    with pytest.raises(VitgenError, match="CXX is 'nowhere-g\\+\\+ -pipe'"):
        toolchain.find_compiler()


def test_old_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "g++-8"
    old.write_text("#!/bin/sh\necho 8\n")
    old.chmod(0o755)
    monkeypatch.setenv("CXX", str(old))
    with pytest.raises(VitgenError, match="is version '8'; the C-sim needs 9"):
        toolchain.find_compiler()


def test_missing_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VitgenError, match="ap_int headers were not found"):
        toolchain.ap_int_headers.__wrapped__()
