from typing import Any

import numba


def jit(**options: Any) -> Any:
    return numba.njit(nogil=True, error_model="numpy", cache=True, **options)
