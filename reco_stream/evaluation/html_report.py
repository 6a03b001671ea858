"""The report as one HTML file that opens offline: tables, and plots as inline SVG; no scripts, no fonts, no links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from reco_stream.evaluation.metrics import PER_QUERY, Figure
from reco_stream.evaluation.report import LABELS, Report, SystemReport

WIDTH = 760
LABEL_WIDTH = 130
ROW_HEIGHT = 26
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2330 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #dde2ea }
th:first-child, td:first-child { text-align: left }
small { color: #5a6577 }
svg { max-width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #1c2330 }
"""


def html_report(report: Report) -> str:
    """Return the report as a complete HTML document."""
    parts = [
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{report.events:,} events on {report.items:,} items; {report.test_events:,} test events; "
        f"index {escape(report.visibility)}; a share of {report.sample:g} of the queries. "
        "Intervals are 95 %, by drawing sessions.</p>",
    ]
    for protocol, words in (("unseen", "Unseen only"), ("repeats", "Repeats allowed")):
        systems = report.of(protocol)
        if systems and systems[0].queries:
            parts += [f"<h2>{words}, {systems[0].queries:,} queries</h2>", _table(systems, report.k)]
            for name in ("hr", "mrr"):
                parts.append(_bars(f"{LABELS[name]}@{report.k}", {s.system: s.figures[name] for s in systems}))
            parts.append(_lines(f"HR@{report.k} by length of the context", systems))
    parts.append(_weights(report.weights))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(report.title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _table(systems: Sequence[SystemReport], k: int) -> str:
    names = [f"{LABELS[name]}@{k}" for name in PER_QUERY]
    head = "".join(
        f"<th>{escape(name)}</th>" for name in ("system", *names, "coverage", "Gini", "novelty, bits", "p50 / p99 us")
    )
    rows = []
    for system in systems:
        figures = "".join(f"<td>{_interval(system.figures[name])}</td>" for name in PER_QUERY)
        rows.append(
            f"<tr><td>{escape(system.system)}</td>{figures}<td>{system.coverage:.3f}</td><td>{system.gini:.3f}</td>"
            f"<td>{system.novelty_bits:.2f}</td><td>{system.micros_p50:.0f} / {system.micros_p99:.0f}</td></tr>"
        )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _interval(figure: Figure) -> str:
    return f"{figure.mean:.4f}<br><small>{figure.low:.4f}&#8211;{figure.high:.4f}</small>"


def _bars(title: str, figures: Mapping[str, Figure]) -> str:
    """Return a bar for each system with its interval as a whisker."""
    top = max((figure.high for figure in figures.values()), default=0.0) or 1.0
    scale = (WIDTH - LABEL_WIDTH - 70) / top
    height = ROW_HEIGHT * len(figures) + 30
    parts = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    for row, (name, figure) in enumerate(figures.items()):
        y = 26 + row * ROW_HEIGHT
        middle = y + ROW_HEIGHT / 2 - 2
        low, high = (LABEL_WIDTH + edge * scale for edge in (figure.low, figure.high))
        parts.append(
            f'<text x="0" y="{middle + 4:.1f}">{escape(name)}</text>'
            f'<rect x="{LABEL_WIDTH}" y="{y + 2}" width="{figure.mean * scale:.1f}" height="{ROW_HEIGHT - 8}" '
            f'fill="{COLOURS[row % len(COLOURS)]}"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" '
            'stroke="#1c2330" stroke-width="2"/>'
            f'<text x="{high + 6:.1f}" y="{middle + 4:.1f}">{figure.mean:.4f}</text>'
        )
    return _svg(title, height, parts)


def _lines(title: str, systems: Sequence[SystemReport]) -> str:
    """Return one line a system over the classes of context length."""
    classes = list(dict.fromkeys(name for system in systems for name in system.hr_by_length))
    top = max((value for system in systems for _, value in system.hr_by_length.values()), default=0.0) or 1.0
    height, bottom = 260, 220
    step = (WIDTH - LABEL_WIDTH - 160) / max(1, len(classes) - 1)
    parts = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    for place, name in enumerate(classes):
        parts.append(f'<text x="{LABEL_WIDTH + place * step:.1f}" y="{bottom + 20}" text-anchor="middle">{name}</text>')
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - 40)
        parts.append(f'<line x1="{LABEL_WIDTH}" x2="{WIDTH - 160}" y1="{y}" y2="{y}" stroke="#dde2ea"/>')
        parts.append(f'<text x="{LABEL_WIDTH - 8}" y="{y + 4}" text-anchor="end">{share * top:.3f}</text>')
    for row, system in enumerate(systems):
        colour = COLOURS[row % len(COLOURS)]
        points = " ".join(
            f"{LABEL_WIDTH + classes.index(name) * step:.1f},{bottom - value / top * (bottom - 40):.1f}"
            for name, (_, value) in system.hr_by_length.items()
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{WIDTH - 145}" y="{34 + row * 18}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - 130}" y="{44 + row * 18}">{escape(system.system)}</text>')
    return _svg(title, height, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    box = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'<svg role="img" aria-label="{escape(title)}" {box}>{inside}</svg>'


def _weights(weights: Mapping[str, Mapping[str, float]]) -> str:
    if not weights:
        return ""
    rows = []
    for scenario, named in weights.items():
        cells = ", ".join(f"{escape(name)} {weight:+.2f}" for name, weight in named.items())
        rows.append(f"<tr><td>{escape(scenario)}</td><td>{cells}</td></tr>")
    return f"<h2>Weights at the end</h2><table><tbody>{''.join(rows)}</tbody></table>"
