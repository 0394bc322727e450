"""Claims about a subject, for all inputs; and the proof that a claim can fail: a mutant that breaks it.

@for_all(numbers=st.lists(st.integers()))
def sorts(sort, numbers): ...

def test_it_sorts(): holds(sorts, sorted)
def test_a_sort_that_loses_repeats_is_caught(): assert fails(sorts, lambda numbers: sorted(set(numbers)))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hypothesis import Phase, given, settings
from hypothesis.strategies import SearchStrategy

EXAMPLES: Final = 500
USUAL: Final = 200
"""Examples of a test that does not say how many, as `tests/conftest.py` has it."""
UNTIL_IT_FAILS: Final = 2000


class Claim(NamedTuple):
    """A check, which gets the subject and what was drawn, and from where it is drawn."""

    check: Callable[..., None]
    drawn: dict[str, SearchStrategy[Any]]


def for_all(**drawn: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Claim]:
    """Make a claim of a check."""
    return lambda check: Claim(check, drawn)


def holds(claim: Claim, subject: Any, examples: int = EXAMPLES) -> None:
    """Try to refute a claim about `subject`, with more examples where the profile has more than usual.

    Raises:
        AssertionError: the claim is wrong.
    """
    _run(claim, subject, settings(max_examples=examples * settings().max_examples // USUAL))


def fails(claim: Claim, mutant: Any) -> bool:
    """Whether the claim is refuted for a mutant; an error of another kind is the mutant's, and raised."""
    try:
        _run(claim, mutant, settings(max_examples=UNTIL_IT_FAILS, phases=[Phase.generate], report_multiple_bugs=False))
    except AssertionError:
        return True
    return False


def _run(claim: Claim, subject: Any, how: settings) -> None:
    @how
    @given(**claim.drawn)
    def check(**drawn: Any) -> None:
        claim.check(subject, **drawn)

    check()
