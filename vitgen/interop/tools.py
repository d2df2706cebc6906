"""Packages that exchange needs and vitgen does not."""

import importlib.util

from vitgen.errors import VitgenError


def require(*packages: str) -> None:
    """Check that packages of the extra ``interop`` are installed; loads none.

    Raises
    ------
    VitgenError : names the first that is missing and the command that installs it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise VitgenError(
                f"The package {package} is not installed.",
                "Install it with `pip install 'vitgen[interop]'`.",
            )
