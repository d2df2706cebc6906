"""The accelerator as a PYNQ overlay."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from pynq import Device, Overlay

from .buffers import IMAGE, OUTPUT, PROGRAM, Buffers
from .deployment import Deployment
from .errors import (
    AcceleratorError,
    BadImage,
    DeviceBusy,
    DeviceFault,
    DeviceTimeout,
    WrongBitstream,
)
from .images import Preprocessor, each
from .ip import VitTop
from .lock import DeviceLock
from .predictions import Predictions
from .profiling import Profile, profile
from .sensors import read_power

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; the board may have 3.10

AHEAD = 2
"""Images that are made ready while another is on the device."""


class Accelerator(Overlay):
    """A Vision Transformer on the board, from picture to class.

    Loads the bitstream, the program and the weights once; frees all of it when it is closed. Use it
    in a ``with`` block, or call :meth:`close`.

    Parameters
    ----------
    bitfile_name : the bitstream, with its ``.hwh`` beside it; None takes that of the environment
        variable ``VITGEN_BITFILE``, else the build's own.
    timeout : seconds that an image may take; None takes ``VITGEN_TIMEOUT``, else 100 times the
        estimate and at least 5.
    device : a PYNQ device; None takes the active one.

    Raises
    ------
    WrongBitstream, WrongData : what is loaded does not belong together.
    DeviceBusy : another process uses the device.
    NoMemory : there is no place for the weights.
    AcceleratorError : there is no device, or it does not take the bitstream.
    """

    # Read by close() also when the constructor did not come far; a missing attribute would be
    # looked for in the bitstream.
    ip: VitTop | None = None
    _buffers: Buffers | None = None
    _lock: DeviceLock | None = None
    _stale = False  # the logic must be loaded anew before the next run
    _under_way = False

    def __init__(
        self,
        bitfile_name: str | os.PathLike[str] | None = None,
        *,
        timeout: float | None = None,
        device: Any = None,
    ) -> None:
        self.deployment = Deployment()
        self._guard = threading.Lock()
        self._preprocessor = Preprocessor(self.deployment["image"])
        self.timeout = self.deployment.timeout(timeout)
        bitfile = self.deployment.bitfile(bitfile_name)
        chosen = _active_device() if device is None else device
        self._lock = DeviceLock(chosen.tag)
        try:
            try:
                super().__init__(str(bitfile), download=False, device=chosen)
            except Exception as error:
                raise WrongBitstream(
                    f"PYNQ cannot use {bitfile} and its .hwh: {error!r}.",
                    "Make both anew with `vitgen synth`.",
                ) from error
            self._bring_up()
        except BaseException:
            self.close()
            raise

    # Loading and closing.

    def _bring_up(self) -> None:
        """Load the logic, and with it all buffers: nothing of a former load is trusted."""
        self._load_logic()
        self.ip = VitTop.create(self._description())
        self._free()
        self._buffers = Buffers(self.deployment, self.device)
        for name, address in self._buffers.addresses(0).items():
            self.ip.set_address(name, address)
        self._stale = False

    def _load_logic(self) -> None:
        try:
            self.download()
        except Exception as error:
            raise AcceleratorError(
                f"The device does not take {self.bitfile_name}: {error!r}.",
                "Check that the bitstream is for this board and that you are root.",
            ) from error
        self._under_way = False

    def _description(self) -> dict[str, Any]:
        for entry in self.ip_dict.values():
            if entry["type"] in self.deployment["ip"]:
                return entry
        raise WrongBitstream(
            f"The .hwh of {self.bitfile_name} lists no IP of type "
            f"{' or '.join(self.deployment['ip'])}.",
            "Make it anew with `vitgen synth`.",
        )

    def _free(self) -> None:
        if self._buffers is not None:
            self._buffers.free()
            self._buffers = None

    def close(self) -> None:
        """Leave the device idle, free the buffers and let others in; the second call does nothing."""
        if self._lock is None:
            return
        try:
            if self.ip is not None:
                if self._under_way:
                    self._settle()
                if self._stale or not self.ip.idle:
                    self._load_logic()  # stops what still runs before its memory is given away
        finally:
            self.ip = None
            self._free()
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # One run.

    @contextmanager
    def _exclusive(self) -> Iterator[VitTop]:
        """Hold the device against other threads and unfinished streams; leave it idle."""
        if not self._guard.acquire(blocking=False):
            raise DeviceBusy(
                "Another thread or an unfinished predict_stream of this process uses the device.",
                "Finish the stream or close it, and use one thread.",
            )
        try:
            yield self._ready()
        finally:
            try:
                if self._under_way:
                    self._settle()
            finally:
                self._guard.release()

    def _ready(self) -> VitTop:
        if self._stale and self._lock is not None:
            self._bring_up()
        return self._opened()

    def _opened(self) -> VitTop:
        if self.ip is None:
            raise AcceleratorError("The accelerator is closed.", "Open it again: Accelerator().")
        return self.ip

    @property
    def _memory(self) -> Buffers:
        self._opened()
        assert self._buffers is not None
        return self._buffers

    def _begin(self, ip: VitTop, addresses: dict[str, int], instructions: int) -> None:
        """Start a run."""
        self._opened()
        if not ip.idle:
            raise DeviceBusy(
                "The accelerator runs already, and not for this program.",
                "End the program that drives it.",
            )
        for name in (PROGRAM, IMAGE, OUTPUT):
            ip.set_address(name, addresses[name])
        ip.set_instructions(instructions)
        for name, address in addresses.items():
            found = ip.address(name)
            if found != address:
                raise DeviceBusy(
                    f"The register of {name} holds {found:#x} instead of {address:#x}.",
                    "Another program writes the registers: end it.",
                )
        self._under_way = True
        ip.start()

    def _finish(self, ip: VitTop, *, polling: bool = False) -> None:
        """Wait for the end of a run."""
        self._opened()
        ended = ip.wait(self.timeout, polling=polling)
        status = ip.status
        faults = self.deployment.faults(status)
        if not ended:
            self._stale, self._under_way = True, False
            control = ip.control
            why = f" ({'; '.join(faults)})" if faults else ""
            raise DeviceTimeout(
                f"The accelerator did not finish in {self.timeout:g} seconds{why}: control "
                f"{control:#x}, status {_hex(status)}, cycles {ip.cycles}.",
                "The next run loads the bitstream again; a slow device needs a longer timeout.",
                control,
                status,
                ip.cycles,
            )
        self._under_way = False
        if faults:
            assert status is not None
            self._stale = True
            raise DeviceFault(
                f"The run ended with an error: {'; '.join(faults)}.",
                "The next run loads the bitstream and all data again.",
                faults,
                status,
            )

    def _settle(self) -> None:
        """Wait for a run that nobody wants any more, but not for ever."""
        assert self.ip is not None
        self._under_way = False
        stale, self._stale = self._stale, True
        with suppress(Exception, KeyboardInterrupt):  # a second Ctrl-C: the first is on its way
            self._stale = stale or not self.ip.wait(self.timeout, polling=True)

    # Images.

    def predict(self, images: Any) -> Predictions:
        """Classify images.

        Parameters
        ----------
        images : one, an iterable of them, or ``uint8 (n, h, w, channels)``; an image is a path of a
            JPEG or PNG file, a PIL image, ``uint8 (h, w[, channels])`` of any size, or floating
            point ``(C, H, W)`` of the model's size in 0..1.

        Raises
        ------
        BadImage, DeviceBusy, DeviceFault, DeviceTimeout : see there.
        """
        logits = list(self._logits(each(images)))
        if not logits:
            raise BadImage("There are no images.", "Pass at least one.")
        return self._predictions(logits)

    def predict_stream(self, images: Iterable[Any], batch: int = 1) -> Iterator[Predictions]:
        """Classify images as they come: while one is on the device, the next are made ready and the
        last result is yours.

        Parameters
        ----------
        images : see :meth:`predict`; taken a few ahead.
        batch : images per item of the result, the last one excepted.

        Raises
        ------
        BadImage, DeviceBusy, DeviceFault, DeviceTimeout : see there.
        """
        if batch < 1:
            raise AcceleratorError(f"A batch of {batch} images.", "Give at least 1.")
        logits = self._logits(each(images))
        try:
            while part := list(islice(logits, batch)):
                yield self._predictions(part)
        finally:
            logits.close()

    def _predictions(self, logits: list[np.ndarray]) -> Predictions:
        record = self.deployment["logits"]
        return Predictions(np.stack(logits), record["scale"], self.deployment["classes"])

    def _logits(self, images: Iterator[Any]) -> Iterator[np.ndarray]:
        """Logits of every image, ``int64 (classes,)``. Two image buffers and two outputs: one is on
        the device while the other is filled and read."""
        with self._exclusive() as ip, ThreadPoolExecutor(1) as pool:
            before = None
            for slot, packed in enumerate(self._packed(images, pool)):
                self._memory.fill(slot, packed)
                if before is not None:
                    self._finish(ip)
                self._begin(ip, self._memory.addresses(slot), self.deployment["instructions"])
                if before is not None:
                    yield self._memory.logits(before)
                before = slot
            if before is not None:
                self._finish(ip)
                yield self._memory.logits(before)

    def _packed(self, images: Iterator[Any], pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        """Image buffers, made ready in a thread."""
        waiting: deque[Future[np.ndarray]] = deque()
        for image in images:
            waiting.append(pool.submit(self._preprocessor.pack, image))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    # More about the device.

    def self_test(self) -> None:
        """Run the image that the build shipped and compare every bit of its logits.

        Raises
        ------
        DeviceFault : they differ.
        """
        golden = self.deployment["golden"]
        expected = np.frombuffer(self.deployment.load(golden["logits"]), dtype="<i2")
        image = np.frombuffer(self.deployment.load(golden["image"]), dtype=np.uint8)
        with self._exclusive() as ip:
            self._memory.fill(0, image)
            self._begin(ip, self._memory.addresses(0), self.deployment["instructions"])
            self._finish(ip)
            found = self._memory.logits(0)
        wrong = np.flatnonzero(found != expected)
        if wrong.size:
            first = int(wrong[0])
            raise DeviceFault(
                f"{wrong.size} of {expected.size} logits are wrong, the first is that of class "
                f"{first}: {found[first]} instead of {expected[first]}.",
                "Check the timing report of the bitstream, its clock and the board's power.",
                [f"logit {index}" for index in wrong],
                ip.status or 0,
            )

    def profile(self, image: Any) -> Profile:
        """Time every instruction, each in a run of its own.

        Parameters
        ----------
        image : one image, see :meth:`predict`.

        Raises
        ------
        BadImage, DeviceBusy, DeviceFault, DeviceTimeout, NoMemory : see there.
        """
        packed = self._preprocessor.pack(image)
        with self._exclusive() as ip:
            self._memory.fill(0, packed)
            memory = self._memory

            def run(address: int, instructions: int) -> None:
                self._begin(ip, {**memory.addresses(0), PROGRAM: address}, instructions)
                self._finish(ip, polling=True)

            steps = profile(ip, memory.program(), self.deployment, memory.holding, run)
            return Profile(steps, self.deployment, self._predictions([memory.logits(0)]))

    def status(self) -> dict[str, Any]:
        """How the device is: ``open``, ``idle``, ``control``, ``status``, ``faults``, ``cycles`` of
        the last run (None where the accelerator does not say), ``interrupt`` (whether it is used),
        ``reload`` (whether the next run loads the bitstream first), ``design`` and ``bitfile``."""
        ip = self.ip
        found: dict[str, Any] = {
            "open": ip is not None,
            "reload": self._stale,
            "design": self.deployment["design"],
            "bitfile": self.bitfile_name,
        }
        if ip is not None:
            status = ip.status
            found |= {
                "idle": ip.idle,
                "control": ip.control,
                "status": status,
                "faults": self.deployment.faults(status),
                "cycles": ip.cycles,
                "interrupt": ip.has_interrupt,
            }
        return found

    def power(self) -> dict[str, float] | None:
        """Watts by power rail, for the rails that the board is known to have; None without any."""
        facts = self.deployment["board_facts"].get("power") or {}
        return read_power(facts.get("rails") or ())


def _active_device() -> Any:
    try:
        return Device.active_device
    except RuntimeError as error:
        raise AcceleratorError(
            "PYNQ finds no device on this machine.",
            "Run this on the board, or use `vitgen run --device csim` here.",
        ) from error


def _hex(word: int | None) -> str:
    return "not available" if word is None else f"{word:#x}"
