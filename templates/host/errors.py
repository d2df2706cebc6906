"""What can go wrong: each says in one sentence what, and in one what to do."""

from __future__ import annotations


class AcceleratorError(RuntimeError):
    """Anything that the driver refuses or that the accelerator failed at.

    Parameters
    ----------
    problem : what is wrong, with the offending value.
    remedy : what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}")


class WrongBitstream(AcceleratorError):
    """There is no bitstream, it is damaged, or it is one of another design."""


class WrongData(AcceleratorError):
    """A file of weights, the program or the deployment is missing, cut short or changed."""


class BadImage(AcceleratorError):
    """An image cannot be read or is not of a kind that the model takes."""


class NoMemory(AcceleratorError):
    """A buffer could not be allocated."""


class DeviceBusy(AcceleratorError):
    """Somebody else uses the accelerator."""


class DeviceFault(AcceleratorError):
    """A run ended with an error.

    Attributes
    ----------
    faults : sentences, one per error bit of the status register.
    status : that register.
    """

    def __init__(self, problem: str, remedy: str, faults: list[str], status: int) -> None:
        super().__init__(problem, remedy)
        self.faults = faults
        self.status = status


class DeviceTimeout(AcceleratorError):
    """A run did not end in time.

    Attributes
    ----------
    control : the register of ap_start (bit 0), ap_done (1), ap_idle (2) and ap_ready (3).
    status, cycles : the registers of these names; None where the accelerator has none.
    """

    def __init__(
        self, problem: str, remedy: str, control: int, status: int | None, cycles: int | None
    ) -> None:
        super().__init__(problem, remedy)
        self.control = control
        self.status = status
        self.cycles = cycles
