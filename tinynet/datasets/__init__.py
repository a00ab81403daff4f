"""Datasets. The API follows Keras.

``mnist`` and ``fashion_mnist`` are read from local files or downloaded once, verified and cached.
``drawn_digits`` are synthetic digits that require no download. Each module has ``load_data()``,
which returns ``(x_train, y_train), (x_test, y_test)``: images of 28 x 28 uint8 pixels and their
labels 0 to 9. `frame_digit` converts a photo of a digit to this format, and `augment_digits` varies
images for training.
"""

from __future__ import annotations

from tinynet._core.cache_folder import cache_folder
from tinynet.datasets import drawn_digits, fashion_mnist, mnist
from tinynet.datasets.augmentation import augment_digits
from tinynet.datasets.framing import frame_digit

__all__ = ["augment_digits", "cache_folder", "drawn_digits", "fashion_mnist", "frame_digit"]
__all__ += ["mnist"]
