"""Pictures as PNG: small, for a phone and for a mail; every one has its words beside it in the page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import matplotlib.dates as dates
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

INK, SOFT, LINE, INLAY, BAD, PAPER = "#1d1a17", "#6a635c", "#e2deda", "#b8431a", "#a3241c", "#ffffff"
SHADES: Final = ("#b8431a", "#2f6f8f", "#5d8a4a", "#8a6bb0", "#c79a2b", "#7a726a")
"""Apart in hue and in brightness, so that they are told apart without colours as well."""
STYLES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
HOUR: Final = 3600
SHORTEST: Final = 3
"""Hours that a trend shows to each side where there are fewer."""
WIDE, HIGH, DPI = 4.6, 2.1, 150


def of_alarm(drawn: Mapping[str, Any]) -> bytes:
    """What an alarm shows: a rate with what was expected, a distribution beside the usual one, or the same hours."""
    figure, axes = _axes()
    if "expected" in drawn:
        _rate(axes, drawn)
    elif isinstance(drawn.get("now"), dict):
        _labels(axes, drawn["now"], drawn["before"])
    elif drawn.get("now"):
        _quantiles(axes, drawn["now"], drawn["before"])
    else:
        _same_hours(axes, drawn)
    return _png(figure)


def of_trend(series: Mapping[str, Sequence[float]], first: int) -> bytes:
    """Some series an hour, from the hour `first` (epoch seconds) on."""
    figure, axes = _axes()
    for place, (name, values) in enumerate(series.items()):
        at = [_moment(first + number * HOUR) for number in range(len(values))]
        look = {"color": SHADES[place % len(SHADES)], "linestyle": STYLES[place % len(STYLES)], "lw": 1.5}
        axes.plot(at, values, label=name, marker="o" if len(values) < 3 else None, **look)
    axes.set_ylim(bottom=0)
    longest = max(map(len, series.values()), default=0)
    if longest < SHORTEST:  # of an hour alone there is no scale
        axes.set_xlim(_moment(first - SHORTEST * HOUR), _moment(first + SHORTEST * HOUR))
    _time(axes)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    return _png(figure)


def _rate(axes: Any, drawn: Mapping[str, Any]) -> None:
    seen, expected, last = drawn["seen"], drawn["expected"], drawn["hour"]
    at = [_moment(last - (len(seen) - 1 - number) * HOUR) for number in range(len(seen))]
    axes.fill_between(at, expected, color=LINE, label="expected", lw=0)
    axes.plot(at, seen, color=INK, lw=1, label="people an hour")
    window = min(drawn["window"], len(at))
    axes.plot(at[-window:], seen[-window:], color=BAD, lw=3, marker="o", ms=4, label="the alarm", clip_on=False)
    axes.set_ylim(bottom=0)
    _time(axes)
    _legend(axes)


def _same_hours(axes: Any, drawn: Mapping[str, Any]) -> None:
    usual = {int(hour): value for hour, value in drawn["usual"].items()}
    axes.plot(
        [_moment(hour) for hour in usual], [*usual.values()], "o-", color=SOFT, lw=1, ms=5, label="the same time before"
    )
    axes.plot([_moment(drawn["hour"])], [drawn["seen"]], "D", color=BAD, ms=8, label="now", clip_on=False)
    top = max([*usual.values(), drawn["seen"]])
    axes.set_ylim(min(0, *usual.values(), drawn["seen"]), top * 1.1 or 1)
    if drawn.get("is_share"):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    if drawn.get("is_time"):
        size, unit = (60, "min") if top >= 120 else (1, "s")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds / size:,.3g} {unit}"))
    _time(axes)
    _legend(axes)


def _labels(axes: Any, now: Mapping[str, float], before: Mapping[str, float]) -> None:
    names = sorted({*now, *before}, key=lambda name: -max(now.get(name, 0), before.get(name, 0)))[:8]
    for place, name in enumerate(names):
        axes.bar(place - 0.2, before.get(name, 0), 0.38, color=SOFT, label="usual" if not place else None)
        axes.bar(
            place + 0.2,
            now.get(name, 0),
            0.38,
            color=BAD,
            label="now" if not place else None,
            hatch="//",
            edgecolor=PAPER,
        )
    axes.set_xticks(range(len(names)), [_short(name) for name in names])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    _legend(axes)


def _quantiles(axes: Any, now: Sequence[float], before: Sequence[float]) -> None:
    shares = [number / (len(now) - 1) for number in range(len(now))]
    axes.plot(before, shares, color=SOFT, lw=2, label="usual")
    axes.plot(now, shares, color=BAD, lw=2, ls="--", label="now")
    least = min(*now, *before)
    if least > 0 and max(*now, *before) / least > 50:
        axes.set_xscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    axes.set_ylabel("of rows below", color=SOFT, fontsize=8)
    _legend(axes)


def _axes() -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDE, HIGH), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize=8, length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    return figure, axes


def _time(axes: Any) -> None:
    locator = dates.AutoDateLocator(minticks=3, maxticks=7, tz=timezone.utc)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=timezone.utc, show_offset=False))


def _legend(axes: Any) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=3, frameon=False, fontsize=8, labelcolor=INK)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}…"
