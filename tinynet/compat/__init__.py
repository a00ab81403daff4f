"""What other libraries' import lines become."""

from tinynet.unsupported import guard

__all__ = ["tensorflow"]

__getattr__ = guard("compat", __all__, lazy=__all__)


def __dir__() -> list[str]:
    return __all__
