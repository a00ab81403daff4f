"""The version of tinynet."""

__version__ = "0.1.0"


def version() -> str:
    """Return tinynet's version, as Keras' function of that name does.

    Returns
    -------
    str
        For example ``"0.1.0"``.

    Examples
    --------
    >>> version() == __version__
    True
    """
    return __version__
