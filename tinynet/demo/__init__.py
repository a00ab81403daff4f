"""Web page that recognizes digits drawn by the user."""

from tinynet.demo.page import default_model, page, show

__all__ = ["default_model", "page", "show"]
