"""Matplotlib figures as inline SVG whose colours are the page's CSS variables (light and dark)."""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib knows no CSS variables: it draws with these stand-ins, which occur nowhere else.
INK = "#010203"
MUTED = "#020304"
GRID = "#030405"
LINE = "#040506"
SECOND = "#050607"
GENERATE = "#060708"
LEARN = "#070809"
REWARD = "#08090a"
SYNC = "#090a0b"
OTHER = "#0a0b0c"

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    LINE: "--line",
    SECOND: "--second",
    GENERATE: "--generate",
    LEARN: "--learn",
    REWARD: "--reward",
    SYNC: "--sync",
    OTHER: "--other",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rlpost",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0.0,
}


def axes(width: float, height: float) -> Axes:
    """Empty axes of that many inches in the page's style; no window, no global state."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure.subplots()


def inline(axes: Axes, *, label: str) -> str:
    """The figure as an ``<svg>`` that scales with its box; ``label`` is for screen readers."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    with rc_context(_STYLE), warnings.catch_warnings():
        # The page's fonts draw the text, not Matplotlib's.
        warnings.filterwarnings("ignore", r"Glyph .* missing from (font|current)")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, _, body = text.partition(">")
    head = re.sub(r' (?:xmlns(?::xlink)?|version|width|height)="[^"]*"', "", head)
    text = f"{head}>{body}"
    text = re.sub(r'(<g) id="[^"]*"', r"\1", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
