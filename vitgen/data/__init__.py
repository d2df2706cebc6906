"""Images: scikit-learn's digits and photographs, and folders of the user's. No torch."""

from vitgen.data.canvas import canvases, place
from vitgen.data.digits import Digits, digits
from vitgen.data.folder import ImageFolder
from vitgen.data.photographs import photographs

__all__ = ["Digits", "ImageFolder", "canvases", "digits", "photographs", "place"]
