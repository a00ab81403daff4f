"""The version of tinynet."""

__version__ = "0.1.0"


def version() -> str:
    """Return the version of tinynet.

    Returns
    -------
    str
        Version, such as ``"0.1.0"``.

    Examples
    --------
    >>> version() == __version__
    True
    """
    return __version__
