"""The picture of `benchmarks.coverage`, as SVG that needs no library to be drawn or shown."""

from __future__ import annotations

import math
from html import escape

import polars as pl

INK, MUTED, BLUE, VERMILION, GREEN = "#18212B", "#5B6773", "#0072B2", "#D55E00", "#009E73"
WIDTH, HEIGHT = 980, 560
SHOWN = 60
# Panels: left edge and right edge of their plots.
LEFT, RIGHT = (60, 560), (760, 950)
TOP, BOTTOM = 96, 500
LOWEST, HIGHEST = 0.001, 0.3
LEAST_HELD = 0.88
TITLES = {
    "harm_prevalence": "harm prevalence",
    "wrong_block_share": "wrong-block share",
    "benign_blocked_rate": "benign-blocked rate",
    "missed_harm_rate": "missed-harm rate",
    "uncapped": "harm prevalence, no cap",
}


def draw_picture(results: pl.DataFrame, summary: pl.DataFrame) -> str:
    """Left: intervals of the first populations beside truth and raw figure; right: how often intervals hold the truth.

    Args:
        results: From `benchmarks.coverage.run`.
        summary: From `benchmarks.coverage.summarise`.
    """
    populations = int(summary["populations"].to_list()[0])
    title = f"Estimated and raw harm prevalence in {populations:,} simulated populations"
    body = [*_draw_intervals(results), *_draw_coverage(summary, populations)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" '
        f'role="img"><title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#FFFFFF"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _draw_intervals(results: pl.DataFrame) -> list[str]:
    rows = results.filter(pl.col("measure") == "harm_prevalence").head(SHOWN).sort("estimate").to_dicts()
    parts = [
        _text(LEFT[0], 26, f"Harm prevalence, {len(rows)} of the populations", size=16, weight="bold"),
        _text(LEFT[0], 46, "share of turns, log scale; a line is a 95 % interval", colour=MUTED),
        _dot(LEFT[0] + 6, 66, BLUE),
        _text(LEFT[0] + 16, 70, "estimate", colour=BLUE),
        _text(LEFT[0] + 92, 70, "| truth", colour=INK),
        _text(LEFT[0] + 152, 70, "× raw: harmful / reviewed", colour=VERMILION),
    ]
    for share in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
        x = _on_log(share)
        parts += [
            _line(x, TOP, x, BOTTOM, "#E3E8ED"),
            _text(x, BOTTOM + 20, f"{share * 100:g} %", colour=MUTED, anchor="middle"),
        ]
    step = (BOTTOM - TOP) / len(rows)
    for place, row in enumerate(rows):
        y = TOP + step * (place + 0.5)
        is_held = row["low"] <= row["truth"] <= row["high"]
        parts += [
            _line(
                _on_log(row["low"]), y, _on_log(row["high"]), y, BLUE if is_held else VERMILION, width=1.5, opacity=0.55
            ),
            _line(_on_log(row["truth"]), y - 3, _on_log(row["truth"]), y + 3, INK, width=1.6),
            _dot(_on_log(row["estimate"]), y, BLUE),
            _text(_on_log(row["raw"]), y + 4, "×", colour=VERMILION, anchor="middle"),
        ]
    return parts


def _draw_coverage(summary: pl.DataFrame, populations: int) -> list[str]:
    parts = [
        _text(RIGHT[0] - 170, 26, "Intervals that hold the truth", size=16, weight="bold"),
        _text(RIGHT[0] - 170, 46, f"of {populations:,} populations; 95 % is promised", colour=MUTED),
    ]
    for share in (0.9, 0.95, 1.0):
        x = _on_share(share)
        colour = INK if share == 0.95 else "#E3E8ED"
        parts += [
            _line(x, TOP, x, BOTTOM, colour),
            _text(x, BOTTOM + 20, f"{share * 100:g} %", colour=MUTED, anchor="middle"),
        ]
    step = (BOTTOM - TOP) / summary.height
    for place, row in enumerate(summary.iter_rows(named=True)):
        y = TOP + step * (place + 0.5)
        colour = GREEN if row["held"] >= 0.93 else VERMILION
        parts += [
            _text(RIGHT[0] - 170, y, TITLES[row["measure"]]),
            _text(
                RIGHT[0] - 170,
                y + 17,
                f"truth {_percent(row['truth'])}, raw {_percent(row['raw'])}",
                colour=MUTED,
                size=12,
            ),
            _line(_on_share(LEAST_HELD), y, _on_share(row["held"]), y, colour, width=2),
            _dot(_on_share(row["held"]), y, colour, radius=5),
            _text(_on_share(row["held"]), y - 11, f"{row['held'] * 100:.1f} %", anchor="middle", colour=colour),
        ]
    return parts


def _on_log(share: float) -> float:
    place = math.log(min(max(share, LOWEST), HIGHEST) / LOWEST) / math.log(HIGHEST / LOWEST)
    return LEFT[0] + place * (LEFT[1] - LEFT[0])


def _on_share(share: float) -> float:
    return RIGHT[0] + (max(share, LEAST_HELD) - LEAST_HELD) / (1 - LEAST_HELD) * (RIGHT[1] - RIGHT[0])


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %"


def _text(
    x: float, y: float, words: str, *, colour: str = INK, size: int = 13, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, *, width: float = 1, opacity: float = 1) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )


def _dot(x: float, y: float, colour: str, *, radius: float = 2.4) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'
