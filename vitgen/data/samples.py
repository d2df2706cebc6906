"""The data sets that scikit-learn carries inside its package: nothing is downloaded."""

from typing import Any

from vitgen.errors import VitgenError


def sample_data(name: str) -> Any:
    """The bunch that ``sklearn.datasets.load_NAME()`` returns.

    Raises
    ------
    VitgenError : scikit-learn is not installed (extra ``train``).
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise VitgenError(
            f"The images come with scikit-learn, which cannot be imported: {error}.",
            "Install vitgen[train], or give a folder of images.",
        ) from error
    return getattr(datasets, f"load_{name}")()
