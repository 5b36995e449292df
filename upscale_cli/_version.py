"""The version of this package, and nothing else, so that everybody may import it."""

__version__ = "0.1.0"
