"""The maths: every formula of the library, forward next to backward, in plain NumPy."""

from tinynet.functional import arithmetic, dense_net, products, reductions, shaping
from tinynet.functional.dense_net import *

__all__ = ["arithmetic", "products", "reductions", "shaping"]
__all__ += dense_net.__all__
