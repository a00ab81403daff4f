"""What is to be done: a net's shape, and the images that it is trained on."""

from __future__ import annotations

from dataclasses import dataclass

EPOCH = 60_000  # images


@dataclass(frozen=True)
class Task:
    """A net of dense layers with relu, softmax at the end, and how it is trained."""

    hidden: tuple[int, ...] = (128,)
    batch: int = 32
    images: int = EPOCH
    test_images: int = 10_000
    dense: bool = False  # noise on every pixel, so that none is 0
    data: str = "MNIST"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of inputs, and of each layer's units."""
        return (784, *self.hidden, 10)
