"""The version of tinynet."""

__version__ = "0.1.0"
