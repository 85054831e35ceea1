"""Pages in HTML and Markdown: the shared frame, figures, lessons, tables, and the formatting of numbers."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
