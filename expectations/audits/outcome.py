"""What an audit found: in words, as JSON, and in Redis for the metrics of the API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from statistics import median
from typing import Any, Final

import redis

from expectations.audits.auditing import Audit
from expectations.audits.comparison import KINDS, summed
from expectations.audits.exports import Difference
from expectations.audits.recompute import SECOND, UNAUDITED

KEPT: Final = "inlay:audit"
"""A hash in Redis: when the latest audit was made, what it compared and how many findings of each kind there were."""
SHOWN: Final = 20


def as_text(found: Audit, days: Sequence[Difference] | None) -> str:
    """What was compared and what was found, for a terminal."""
    lines = [f"{count:,} {entity}s compared" for entity, count in found.compared.items()]
    lines[-1:] = [f"{lines[-1]}, {found.fields:,} fields"] if lines else []
    for entity, ages in found.ages.items():
        lines.append(f"rows of {entity}s are {median(ages):,.0f} s old at the median, the oldest {max(ages):,.0f} s")
    lines += [f"not judged: {count:,}, {reason}" for reason, count in found.unjudged.items()]
    counts = summed(found.findings)
    lines.append(", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS))
    lines += [f"  {each.kind:<9}{each}" for each in found.findings[:SHOWN]]
    if len(found.findings) > SHOWN:
        lines.append(f"  … and {len(found.findings) - SHOWN:,} more")
    if days is not None:
        lines.append(f"{len(days):,} days on which the export and the events differ")
        lines += [
            f"  {each.day}: the export has {each.exported[0]:,} orders of {each.exported[1]:,.2f},"
            f" the events {each.told[0]:,} of {each.told[1]:,.2f}"
            for each in days[:SHOWN]
        ]
    return "\n".join(lines)


def as_json(found: Audit, days: Sequence[Difference] | None) -> str:
    """The same for machines: every finding, and what is not audited."""
    content: dict[str, Any] = {
        "audited_at": datetime.fromtimestamp(found.now / SECOND, timezone.utc).isoformat(),
        "compared": found.compared,
        "fields": found.fields,
        "unjudged": found.unjudged,
        "age_seconds": {entity: {"median": median(ages), "max": max(ages)} for entity, ages in found.ages.items()},
        "counts": summed(found.findings),
        "findings": [each._asdict() for each in found.findings],
        "not_audited": dict(UNAUDITED),
    }
    if days is not None:
        content["days"] = [each._asdict() for each in days]
    return json.dumps(content, indent=2)


def keep(client: redis.Redis, found: Audit, days: Sequence[Difference] | None) -> None:
    """Leave the counts where the metrics find them."""
    counts = {"at": found.now // SECOND, "compared": sum(found.compared.values()), **summed(found.findings)}
    if days is not None:
        counts["days"] = len(days)
    with client.pipeline() as pipeline:
        pipeline.delete(KEPT)
        pipeline.hset(KEPT, mapping=counts)
        pipeline.execute()
