"""Bar charts as SVG."""

from xml.sax.saxutils import escape

COLORS = {"Strake": "#1b6ca8", "llama.cpp": "#d98e32", "oneDNN": "#7a9e57"}
COLUMNS, WIDTH, HEIGHT, MARGIN, LEGEND = 2, 420, 190, 34, 30
STYLE = "text{font:11px sans-serif;fill:#333}.title{font-weight:bold}"


def text(x, y, words, more=""):
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def chart(x, y, title, groups):
    """Groups of bars, (label, {series: value}), from 0, each with its value above it."""
    yield text(x + MARGIN, y + 14, title, 'class="title"')
    floor, room = y + HEIGHT - MARGIN, HEIGHT - 2 * MARGIN - 12
    most = max((value for _, bars in groups for value in bars.values()), default=0) or 1
    step = (WIDTH - 2 * MARGIN) / max(len(groups), 1)
    for number, (label, bars) in enumerate(groups):
        start, width = x + MARGIN + number * step, 0.84 * step / max(len(bars), 1)
        for place, (series, value) in enumerate(bars.items()):
            left, height = start + place * width, room * value / most
            yield (f'<rect x="{left:.1f}" y="{floor - height:.1f}" width="{width - 1:.1f}" '
                   f'height="{height:.1f}" fill="{COLORS[series]}"/>')
            yield text(left + width / 2, floor - height - 3, f"{value:.3g}",
                       'text-anchor="middle"')
        yield text(start + 0.42 * step, floor + 14, label, 'text-anchor="middle"')
    yield f'<path d="M{x + MARGIN} {floor}h{WIDTH - 2 * MARGIN}" stroke="#333"/>'


def svg(panels):
    """Charts, (title, groups), in columns under one legend."""
    panels = list(panels)
    rows = -(-len(panels) // COLUMNS)
    parts = []
    for number, (title, groups) in enumerate(panels):
        parts += chart(number % COLUMNS * WIDTH, LEGEND + number // COLUMNS * HEIGHT, title, groups)
    for number, (series, color) in enumerate(COLORS.items()):
        left = MARGIN + 90 * number
        parts.append(f'<rect x="{left}" y="10" width="12" height="12" fill="{color}"/>')
        parts.append(text(left + 17, 20, series))
    width, height = COLUMNS * WIDTH, LEGEND + rows * HEIGHT
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">\n<style>{STYLE}</style>\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(parts)
            + "\n</svg>\n")
