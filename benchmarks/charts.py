"""Line charts as SVG, drawn by hand: just enough for plots of a few measured points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

Lines = Mapping[str, Sequence[tuple[float, float]]]

_COLOURS = ("#3b6fb6", "#c4622d", "#4a8f4f", "#8a5aa8")
_WIDTH, _HEIGHT = 740, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 180, 40, 40  # names of lines are on the right


def chart(below: str, panels: Mapping[str, Lines]) -> str:
    """Return a panel for each title, one under the other, with its lines by name.

    The horizontal axis is logarithmic, the vertical axis begins at zero.
    """
    drawn = "".join(
        f'<g transform="translate(0,{number * _HEIGHT})">{_panel(title, below, lines)}</g>'
        for number, (title, lines) in enumerate(panels.items())
    )
    size = f'width="{_WIDTH}" height="{_HEIGHT * len(panels)}"'
    style = 'font-family="sans-serif" font-size="12"'
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{ground}{drawn}</svg>\n'


def _panel(title: str, below: str, lines: Lines) -> str:
    points = [point for line in lines.values() for point in line]
    minimum, maximum = (log10(choose(x for x, _ in points)) for choose in (min, max))
    top = max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - minimum) / ((maximum - minimum) or 1.0)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>']
    for x in sorted({x for x, _ in points}):
        column, floor = place(x, 0)
        parts.append(_text(column, floor + 16, f"{x:,.0f}", "middle"))
    parts.append(_text((_WIDTH + _LEFT - _RIGHT) / 2, _HEIGHT - 6, below, "middle"))
    for value in (0.0, top / 2, top):
        _, row = place(points[0][0], value)
        parts.append(
            f'<path d="M{_LEFT} {row:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            + _text(_LEFT - 8, row + 4, f"{value:,.3g}" if top < 10 else f"{value:,.0f}", "end")
        )
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(_WIDTH - _RIGHT + 12, _TOP + 14 * number, name, "start", colour))
    return "".join(parts)


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {where}>{escape(words)}</text>"
