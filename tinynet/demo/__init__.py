"""A web page on which a model reads the digits that a user draws."""

from tinynet.demo.page import default_model, page, show

__all__ = ["default_model", "page", "show"]
