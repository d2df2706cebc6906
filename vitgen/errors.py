"""Errors that are the user's to mend.

A :class:`VitgenError` says in one sentence what is wrong (with the offending value) and in one what
to do; the command line prints it without a traceback and exits with 2. Anything else that is raised
is a bug of vitgen's and keeps its traceback.
"""


class VitgenError(Exception):
    """What is wrong, and what to do about it.

    Parameters
    ----------
    problem : one sentence, with the offending value.
    remedy : one sentence, what to change.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}".strip())


class OverflowRefused(VitgenError):
    """An operation could leave the integer range that the hardware gives it."""


class DoesNotFit(VitgenError):
    """A design needs more of a resource than the board has."""


class FoundWrong(VitgenError):
    """What was checked is wrong: the command line exits with 1, not 2."""
