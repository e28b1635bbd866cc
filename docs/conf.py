"""The documentation as a site (Sphinx): `make site`. Nothing of it is loaded from elsewhere."""

from __future__ import annotations

project = "Stackferry"
copyright = "the Stackferry authors, Apache-2.0"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["schemas"]
myst_enable_extensions = ["tasklist"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Stackferry"
html_show_sphinx = False
html_copy_source = False
suppress_warnings = ["misc.highlighting_failure"]  # JSON and YAML with ... in them
