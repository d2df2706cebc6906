"""Calls functions in a child process that can be killed at any time.

A simulation is one long call into C++: Python's signal handlers do not run meanwhile, and a fault in
the simulated C++ (a bad address, a full stack) would end the caller, too. A flag checked by the
scheduler would help against neither a process that loops without touching a stream nor a crash. So
the call runs in a child of its own session: Ctrl-C reaches the parent alone, which kills the child.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

_TAIL = 4000  # characters of the child's output in the message of a crash
_PARENT_CHECK = 1.0  # seconds


class Worker:
    """A child process; use it as a context manager. It keeps its state between calls.

    Functions are sent by name, so they must be importable (not of ``__main__``, no lambdas);
    arguments and results are pickled.
    """

    def __init__(self) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        receive, send = os.pipe()
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "vitgen.csim.worker",
                 str(send), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(send,),
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            )
        except BaseException:
            os.close(receive)
            self._output.close()
            raise
        finally:
            os.close(send)
        self._results = os.fdopen(receive, "rb")

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """``function(*args, **kwargs)`` in the child.

        Raises what the function raises; RuntimeError with the end of the child's output if the
        child dies. An interrupt here kills the child.
        """
        assert self._child.stdin is not None
        try:
            pickle.dump((function, args, kwargs), self._child.stdin, pickle.HIGHEST_PROTOCOL)
            self._child.stdin.flush()
            answer: tuple[_R, BaseException | None] = pickle.load(self._results)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as broken:
            raise RuntimeError(self._epitaph()) from broken
        except BaseException:
            self.close()
            raise
        result, error = answer
        if error is not None:
            raise error
        return result

    def _epitaph(self) -> str:
        code = self._child.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._output.seek(0)
        said = self._output.read().decode(errors="replace")[-_TAIL:].strip()
        hint = " A process may have overflowed its stack." if code == -signal.SIGSEGV else ""
        return f"The C-sim's process ended with {how}.{hint}\n{said}".rstrip()

    def close(self) -> None:
        """Kills the child, whatever it does."""
        self._child.kill()
        self._child.wait()
        if self._child.stdin is not None:
            # Bytes that the child never took cannot be flushed.
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()
        self._results.close()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _watch_parent(parent: int) -> None:
    """Ends this process when its parent has been killed: nobody would read the result."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK)
    os._exit(1)


def _answer(send: BinaryIO, result: Any, error: BaseException | None) -> None:
    try:
        message = pickle.dumps((result, error), pickle.HIGHEST_PROTOCOL)
    except Exception as unsendable:  # noqa: BLE001 - pickling runs any code
        reason = error if error is not None else unsendable
        message = pickle.dumps((None, RuntimeError(f"{type(reason).__name__}: {reason}")))
    send.write(message)
    send.flush()


def _serve(send: BinaryIO) -> None:
    while True:
        try:
            function, args, kwargs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        except (ImportError, AttributeError) as error:
            # The message is only half read: nothing behind it can be trusted.
            _answer(send, None, error)
            return
        result, failure = None, None
        try:
            result = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            error.add_note(f"In the C-sim's process:\n{traceback.format_exc()}")
            failure = error
        _answer(send, result, failure)


def _main() -> None:
    threading.Thread(target=_watch_parent, args=(int(sys.argv[2]),), daemon=True).start()
    with os.fdopen(int(sys.argv[1]), "wb") as send:
        _serve(send)


if __name__ == "__main__":
    _main()
