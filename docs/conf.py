"""Settings of the documents' site, which `make docs` builds; it asks no other host for anything."""

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.writers.html5 import HTML5Translator

from expofuse.package_version import package_version

project = "expofuse"
version = release = package_version()
copyright = "the authors of expofuse, Apache-2.0"
language = "en-GB"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["runs"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# In docstrings, as in Markdown, single back-quotes mark code.
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"expofuse {version}"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"


def write_math(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line as MathML, which browsers show without a script."""
    translator.body.append(latex2mathml.tex2mathml(node.astext()))
    raise nodes.SkipNode


def write_math_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the formulas' renderer with Sphinx, whose own ones load scripts from elsewhere."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math_block, None))
    # `fuse` has six overloads for type checkers; a reader is told more by its one signature.
    analyzer = ModuleAnalyzer.for_module("expofuse.front_door")
    analyzer.analyze()
    analyzer.overloads.clear()
