"""Drop-in replacement for programs written for TensorFlow."""

from tinynet._core.keras_names import guard

__all__ = ["tensorflow"]

__getattr__ = guard("compat", __all__, lazy=__all__)


def __dir__() -> list[str]:
    return __all__
