"""How the documentation is built: `make docs`. Needs no network and no data but its own."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
# The executed pages run in kernels of their own, which find `_toy` and the command by these.
os.environ["PYTHONPATH"] = os.pathsep.join(
    part for part in (str(HERE), os.environ.get("PYTHONPATH", "")) if part
)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("COLUMNS", "100")

import _tables  # noqa: E402

import starnet  # noqa: E402

project = "StarNet"
author = "The StarNet developers"
copyright = author
release = version = starnet.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "furo"
html_title = f"StarNet {release}"
default_role = "code"
smartquotes = False  # it makes one dash of the two of a flag

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_merge_streams = True

napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True


def setup(app):
    """Lines `<!-- generated: NAME -->` of a page become what `_tables` makes under that name."""
    app.connect("source-read", lambda _, __, source: _tables.expand_in_place(source))
