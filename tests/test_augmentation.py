"""Augmentation: variations are deterministic, stay in the frame and keep the digit legible."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinynet.datasets import augment_digits, drawn_digits


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return drawn_digits.load_data(n_train=300, n_test=0)[0][0]


def test_variations_are_machine_independent(digits: np.ndarray) -> None:
    expected = "afcb6b51a40925714b4353a277316810332052e67cdab4b663236c7f7c2a9f9c"
    assert hashlib.sha256(augment_digits(digits, seed=3).tobytes()).hexdigest() == expected


def test_threads_give_the_same_bits(digits: np.ndarray) -> None:
    expected = [augment_digits(digits, seed) for seed in range(6)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(augment_digits, [digits] * 6, range(6)))
    np.testing.assert_array_equal(found, expected)
    assert len({image.tobytes() for images in expected for image in images}) == 6 * len(digits)


@pytest.mark.parametrize("n", [0, 1, 64, 65])
def test_any_number_of_images(n: int, digits: np.ndarray) -> None:
    images = digits[:n].copy()
    varied = augment_digits(images)
    assert (varied.shape, varied.dtype) == ((n, 28, 28), np.uint8)
    np.testing.assert_array_equal(images, digits[:n])


def test_order_and_memory_layout_are_kept(digits: np.ndarray) -> None:
    """Each variation resembles its own image more than the next one."""
    varied = augment_digits(np.asfortranarray(digits))
    np.testing.assert_array_equal(varied, augment_digits(digits))
    a, b = (x.reshape(300, -1) / np.linalg.norm(x, axis=(1, 2))[:, None] for x in (digits, varied))
    likeness = (a * b).sum(axis=1)
    assert likeness.mean() > 0.7
    assert np.mean(likeness > (np.roll(a, 1, axis=0) * b).sum(axis=1)) > 0.95


def test_size_of_the_variations() -> None:
    """Moments of a bar of 10 x 4 pixels: as documented, to within the sampling error of 400 seeds.

    Its centers vary by 0.8 pixels, and by the waves; its orientation x / y by 0.16 (slant).
    """
    bar = np.zeros((1, 28, 28), np.uint8)
    bar[:, 9:19, 12:16] = 255
    varied = np.concatenate([augment_digits(bar, seed) for seed in range(400)]) / 255
    mass = varied.sum(axis=(1, 2))
    at = np.arange(28) - 13.5
    y, x = (varied.sum(axis=3 - axis) @ at / mass for axis in (1, 2))
    assert np.abs([y.mean(), x.mean()]).max() < 0.2
    assert 0.7 < min(y.std(), x.std()) <= max(y.std(), x.std()) < 1.1
    dx, dy = at - x[:, None], at - y[:, None]
    slant = np.einsum("nyx,ny,nx->n", varied, dy, dx) / np.einsum("nyx,ny->n", varied, dy**2)
    assert 0.12 < slant.std() < 0.3
    # Ink of 40 pixels: thinner and thicker strokes, in about equal shares.
    assert 0.3 < np.mean(mass > 40) < 0.7
    assert np.quantile(mass, 0.1) < 33 < 47 < np.quantile(mass, 0.9)
