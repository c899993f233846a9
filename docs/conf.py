"""Settings of Sphinx, which builds these pages with `make docs`."""

from padmask import __version__ as release

project = "padmask"
author = "the padmask authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
# Blocks without a language are commands and help texts, not Python.
highlight_language = "text"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["width.css"]
html_title = f"padmask {release}"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# The docstrings are Markdown-like: `name` is code, not a reference.
default_role = "code"
