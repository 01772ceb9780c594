"""The crash matrix: which points are reached in which life, what is tried, and what came of it."""

from __future__ import annotations

import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tests.crash.life import Death, Outcome, lived
from tests.crash.points import Point, points
from tests.crash.scenarios import BY_NAME, SCENARIOS
from tests.crash.scene import Databases

JOBS = 4
TRIES = 2  # a life that took another course is lived once more
# the moments of a point from the meanest to the mildest; all others stand between
MEAN = ("firing", "exiting", "entered", "armed")
MILD = ("running", "planned", "starting", "over")
# the heart: tried with every event that it writes, and in every phase
HEART = re.compile(
    r"Engine\.record#1 .*:after$|PostgresLedger\.append#1 .*:handed$|Engine\.book#1 .*:before$"
)
# what has just been done may be lost where it is written down next, so that is tried from both sides
WRITES = re.compile(r"^trading\..*\.record\(\.\.\.\):before$")
MONEY = re.compile(r"Order|Snipe|Fired|Cancel|Exit|Halt|Resum|Stop|Lost|Disputed|Strategy|Reconciled|Saga")
REASONS = (
    ("*.http.Pool.take#2 *", "only where all eight connections are busy"),
    ("*.http.Pool._refill#*", "only after half a minute of silence"),
    ("*.confirm.*", "only where no private stream tells how an order ended"),
    ("*.account.MexcAccount._confirm*", "only where no private stream tells how an order ended"),
    ("*.account.MexcAccount.catch_up#*", "only after the private stream was away"),
    ("*.gate.Gate._leave_later#*", "only where no warm connection is at hand, or no room in the limits"),
    ("*.rest.Rest.ask#? *", "only where the venue asks for another try"),
    ("*._give_up_unsent#*", "only where a restart takes less than the second before the shot"),
    ("*.shots.release#1 *", "only where a halt and a shot meet within microseconds"),
    ("*.Engine.act#1 *", "only where a fill is told after the snipe was given up"),
    ("*.PostgresLedger.append#2 *", "only where an append is cancelled"),
    ("*.write_off.*", "only where a person writes off what is gone"),
    ("replay.*", "only where time is stepped"),
    ("*._plugin#*", "only with a strategy of somebody else's"),
    ("*.mismatches#*", "only where the venue's balances are not the ledger's"),
    ("*.recovery._show#*", "only where the venue holds orders that nobody here placed"),
    ("*.recovery._dispute#*", "only where the venue's balances are not the ledger's"),
)


@dataclass(slots=True)
class Coverage:
    """Which keys are passed in which life, and how often."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)  # by scenario

    def scenarios_of(self, key: str) -> list[str]:
        return [name for name in BY_NAME if self.counts.get(name, Counter())[key]]

    @property
    def moments(self) -> dict[str, list[str]]:
        """The moments of every point and phase, each once."""
        found: dict[str, dict[str, None]] = {}
        for name in BY_NAME:
            for key in self.counts.get(name, ()):
                at, _, moment = key.rpartition("@")
                found.setdefault(at, {})[moment] = None
        return {at: list(each) for at, each in found.items()}

    def meanest(self, at: str, moments: Sequence[str]) -> str:
        """The moment at which this place is worst to die at, in the first life that passes it."""
        for counts in map(self.counts.get, BY_NAME):
            if here := [moment for moment in moments if counts and counts[f"{at}@{moment}"]]:
                return min(here, key=_mildness)
        return moments[0]

    def unreached(self) -> Iterator[tuple[Point, str]]:
        """Every point that no life passes, with the reason as far as it can be told."""
        passed = {at.rpartition(":")[0] for at in self.moments}
        for point in points():
            if point.name not in passed:
                yield point, _reason(point)


def _reason(point: Point) -> str:
    if point.after_error:
        return "only after an error"
    for pattern, why in REASONS:
        if fnmatchcase(point.name, pattern):
            return why
    return "in none of these lives"


@contextmanager
def databases() -> Iterator[Databases]:
    """One Postgres for all that follows."""
    with tempfile.TemporaryDirectory(prefix="mexclab-crashes-") as name:
        Path(name).chmod(0o755)
        with Databases.up(Path(name)) as up:
            yield up


def recorded(up: Databases, jobs: int = JOBS) -> tuple[Coverage, list[Outcome]]:
    """Every life once, with nobody dying; what was passed, and the outcomes."""
    coverage = Coverage()
    outcomes = carried_out(up, [Death("", scenario.name) for scenario in SCENARIOS], jobs)
    for outcome in outcomes:
        coverage.counts[outcome.death.scenario] = Counter(outcome.passed)
    return coverage, outcomes


def planned(coverage: Coverage, seed: int = 0, *, every_phase: bool = False) -> list[Death]:
    """Every point at its meanest moment; the heart at every event that is about money.

    Args:
        seed: 0: the first time that each key is passed; else which time is drawn.
        every_phase: every phase of every point. Else what comes after each await, and what comes before it
            where something is written: from one await to the next one nothing else can be between.
    """
    hearts: list[Death] = []
    others: list[Death] = []
    coin = random.Random(seed)
    for at, moments in coverage.moments.items():
        heart = HEART.search(at)
        if not (every_phase or heart or at.endswith(":after") or WRITES.search(at)):
            continue
        for moment in [m for m in moments if heart and MONEY.search(m)] or [coverage.meanest(at, moments)]:
            key = f"{at}@{moment}"
            scenario = coverage.scenarios_of(key)[0]
            often = coverage.counts[scenario][key]
            death = Death(key, scenario, 1 if not seed else coin.randint(1, min(often, 4)))
            (hearts if heart else others).append(death)
    return [*hearts, *others]


def _mildness(moment: str) -> int:
    if moment in MEAN:
        return MEAN.index(moment)
    return len(MEAN) + (1 + MILD.index(moment) if moment in MILD else 0)


def carried_out(
    up: Databases,
    deaths: Sequence[Death],
    jobs: int = JOBS,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Every death, several side by side because most of their time is waiting; in the order given."""
    with ThreadPoolExecutor(jobs) as threads:
        asked = {threads.submit(_tried, up, death): number for number, death in enumerate(deaths)}
        ended: dict[int, Outcome] = {}
        for done in as_completed(asked):
            ended[asked[done]] = done.result()
            tell(done.result())
    return [ended[number] for number in range(len(deaths))]


def _tried(up: Databases, death: Death) -> Outcome:
    for _ in range(TRIES):
        outcome = lived(up, BY_NAME[death.scenario], death)
        if not death.at or outcome.wrong or outcome.died_at:
            break
    return outcome


# -- for people ----------------------------------------------------------------------------------


def table(outcomes: Iterable[Outcome]) -> str:
    """A row for every death."""
    head = (
        "point",
        "died at",
        "turn",
        "life",
        "verdict",
        "restart s",
        "orders v/l",
        "twice",
        "lost",
        "equal",
        "sagas",
    )
    rows = [head, *map(_row, outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(outcome: Outcome) -> tuple[str, ...]:
    at, _, moment = (outcome.died_at or outcome.death.at).rpartition("@")
    found, tested = outcome.findings, bool(outcome.died_at)
    return (
        at,
        moment,
        str(outcome.death.turn),
        outcome.death.scenario,
        outcome.verdict,
        f"{outcome.restart_s:.1f}" if tested else "-",
        f"{found.venue_orders}/{found.ledger_orders}" if tested else "-",
        str(len(found.duplicates)) if tested else "-",
        str(len(found.lost)) if tested else "-",
        ("no" if found.portfolio else "yes") if tested else "-",
        ("between" if found.sagas else "ended") if tested else "-",
    )


def total(outcomes: Sequence[Outcome], took_s: float) -> str:
    """The matrix in a line."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    twice = sum(len(outcome.findings.duplicates) for outcome in outcomes)
    lost = sum(len(outcome.findings.lost) for outcome in outcomes)
    unequal = sum(bool(outcome.findings.portfolio) for outcome in outcomes)
    between = sum(bool(outcome.findings.sagas) for outcome in outcomes)
    return (
        f"{len(outcomes)} deaths: {verdicts['survived']} survived, {verdicts['FAILED']} failed, "
        f"{verdicts['not reached']} not reached; {twice} duplicate orders, {lost} lost, "
        f"{unequal} unequal portfolios, {between} with a saga between; {took_s:.0f} s"
    )


def failures(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """What went wrong in each that failed, with its ledger."""
    for outcome in outcomes:
        if outcome.wrong:
            what = "\n".join(f"  {sentence}" for sentence in outcome.wrong)
            yield (
                f"== {outcome.death.scenario}: {outcome.died_at or outcome.death.at or 'nobody died'} "
                f"(turn {outcome.death.turn})\n{what}\n{outcome.story}"
            )
