"""Profiles of several hours as one: what a whole day looked like, where an hour has too few people to say anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expectations.profiles import QUANTILES, Column, Profile, Subject


def joined(hours: Sequence[Profile]) -> Profile:
    """Hours as one. Who came in two of them counts twice; quantiles are those of all the quantiles, by their rows."""
    if len(hours) == 1:
        return hours[0]
    parts: dict[str, list[Subject]] = {}
    for profile in hours:
        for name, subject in profile.items():
            parts.setdefault(name, []).append(subject)
    return {name: _subject(subjects) for name, subjects in parts.items()}


def _subject(parts: Sequence[Subject]) -> Subject:
    columns: dict[str, list[Column]] = {}
    for each in parts:
        for name, column in each.columns.items():
            columns.setdefault(name, []).append(column)
    return Subject(
        sum(each.rows for each in parts), sum(each.people for each in parts),
        {name: _column(several) for name, several in columns.items()},
    )  # fmt: skip


def _column(parts: Sequence[Column]) -> Column:
    rows = sum(each.rows for each in parts)
    filled = [each.rows * (1 - each.nulls) for each in parts]
    total = sum(filled)
    shares: dict[str, float] = {}
    for each, number in zip(parts, filled, strict=True):
        for label, share in each.shares.items():
            shares[label] = shares.get(label, 0.0) + share * number / total
    numbers = [(each.quantiles, number) for each, number in zip(parts, filled, strict=True) if each.quantiles]
    return Column(rows, 1 - total / max(rows, 1), _quantiles(numbers), shares)


def _quantiles(parts: Sequence[tuple[Sequence[float], float]]) -> tuple[float, ...]:
    if not parts:
        return ()
    values = np.concatenate([quantiles for quantiles, _ in parts])
    weights = np.repeat([rows for _, rows in parts], len(QUANTILES))
    order = np.argsort(values, kind="stable")
    places = np.cumsum(weights[order]) - weights[order] / 2
    low, high = places[0], places[-1]
    wanted = low + np.array(QUANTILES) * (high - low)
    return tuple(np.interp(wanted, places, values[order]).tolist())
