"""The lives in which a desk dies: what the venue does meanwhile, and what a person asks for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.crash.scene import LOOK_S, Scene

ORDERS = {"path": "/api/v3/order", "method": "POST"}
ASKED = {"path": "/api/v3/order", "method": "GET"}
PRICE = {"path": "/api/v3/ticker/bookTicker"}
CANCELS = {"path": "/api/v3/order", "method": "DELETE"}
REFUSED = {"fault": "refuse", "code": 30004, "msg": "Insufficient position"}
SILENT = {"channel": "*private*", "fault": "drop"}
BOUGHT, OFFERED = "SnipeMoved(ENTERED)", "OrderAccepted(t)"


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done once, as soon as ``when`` (a kind of event) is durable."""

    when: str
    do: Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One life.

    Attributes:
        own: settings above the usual ones, by group.
        rules: faults of the venue from the start.
        acts: what is done on the way.
        prelude: a plain desk lives, and is killed, until this kind of event is durable; the one with the
            points is its successor. Empty: there was none before.
        between: what happens after that one's death, before the next one starts.
        opens_s: seconds from the desk's start to the opening.
        stops: the desk is told to stop on the way, and started again.
        embedded: the ledger is the desk's own embedded Postgres.
    """

    name: str
    why: str
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()
    acts: tuple[Act, ...] = ()
    prelude: str = ""
    between: Callable[[Scene], None] = lambda scene: None
    opens_s: float = 2.6
    stops: bool = False
    embedded: bool = False


def _asks(when: str, path: str, **body: Any) -> Act:
    """A person's wish; ``{snipe}`` in the path is the snipe's id."""

    def do(scene: Scene) -> None:
        snipes = list(scene.read().desk.snipes)
        scene.act(path.format(snipe=snipes[0] if snipes else ""), **{"by": "a drill", **body})

    return Act(when, do)


def _forbids(scene: Scene) -> None:
    """Orders by API are refused until a moment after the opening: not open yet."""
    acts = [{"act": "forbid_api", "symbol": scene.symbol, "open_s": -1, "for_s": 1.6}]
    scene.venue.post("faults", act=acts)


def _refuses(scene: Scene) -> None:
    scene.goes_wrong({**ORDERS, **REFUSED, "count": 2})


def _takes_no_sales(scene: Scene) -> None:
    """It takes no sale and tells no price, until somebody has decided to sell all the same."""
    scene.venue.post("listing", act="limit_sides", symbol=scene.symbol, side="BUY")
    silent = {"fault": "status", "status": 503}
    scene.goes_wrong({"channel": "*public*", "fault": "drop"}, {**PRICE, **silent})


def _takes_sales(scene: Scene) -> None:
    scene.venue.post("listing", act="limit_sides", symbol=scene.symbol)
    scene.goes_wrong()


def _postpones(scene: Scene) -> None:
    scene.opens_in(5)


def _waits(scene: Scene) -> None:
    while scene.since_opening_s() < 2:
        time.sleep(LOOK_S)


def _told_to_stop(scene: Scene) -> None:
    if scene.desk is not None:
        scene.desk.send_signal(signal.SIGTERM)


def _withdraws(scene: Scene) -> None:
    scene.venue.post("listing", act="withdraw", symbol=scene.symbol)


WHY = {"why": "a drill"}
LONG = {"snipe": {"time_stop_s": 8}}
OFTEN = {"orders": {"reconcile_s": 10, "open_poll_s": 5, "price_age_s": 1, "in_flight_s": 1, "grace_s": 1}}

SCENARIOS = (
    Scenario("plain", "bought at the opening, offered on a ladder, sold when the time is up"),
    Scenario("stop", "the stop is hit at once", {"snipe": {"stop_loss": "0.0001", "time_stop_s": 8}}),
    Scenario(
        "successor",
        "a desk comes back to a ladder that rests, and to a strategy that a person had tuned",
        prelude=OFFERED,
        acts=(_asks("SnipePlanned", "/strategy", parameters={"budget_quote": "40"}, **WHY),),
    ),
    Scenario(
        "successor of a shot",
        "a desk comes back to an entry that is still on its way",
        rules=({**ORDERS, "fault": "delay", "delay_ms": 2500, "nth": 1}, SILENT | {"between_s": [0, 8]}),
        prelude="OrderSent(b)",
        own=OFTEN,
    ),
    Scenario(
        "successor of a loaded shot",
        "a desk comes back to an entry that never left",
        prelude="OrderSent(b)",
        between=_postpones,
    ),
    Scenario(
        "late successor",
        "a desk comes back when the opening is over",
        own={"snipe": {"deadline_s": 1}},
        prelude="SnipeMoved(ARMED)",
        between=_waits,
    ),
    Scenario(
        "cut stream",
        "the private stream is cut while orders are under way",
        own=OFTEN,
        rules=(
            {"channel": "*private*", "fault": "close", "nth": [2, 9]},
            {"path": "/api/v3/openOrders", "fault": "status", "status": 429, "retry_after_s": 1, "nth": [2]},
        ),
    ),
    Scenario(
        "lost answers",
        "entry, rung and exit are taken, and the answers are lost",
        own={**OFTEN, **LONG},
        rules=({**ORDERS, "fault": "lose_reply", "nth": [1, 3, 6]}, {**SILENT, "count": 12}),
    ),
    Scenario(
        "lost wishes",
        "orders and cancels never arrive, and questions are refused",
        own=OFTEN,
        rules=(
            {**ORDERS, "fault": "drop", "nth": [2, 7]},
            {**CANCELS, "fault": "drop", "nth": [1, 3]},
            {**ASKED, "fault": "status", "status": 503, "nth": [1, 2]},
        ),
    ),
    Scenario(
        "refused exits",
        "the venue refuses rungs and exits, and the alert is raised",
        rules=({**ORDERS, **REFUSED, "nth": [4]},),
        acts=(Act(OFFERED, _refuses),),
    ),
    Scenario(
        "unprotected",
        "no take-profit is taken and no price is told: what was bought is sold back",
        own={**OFTEN, "snipe": {"time_stop_s": 40}},
        acts=(Act("OrderSent(b)", _takes_no_sales), Act("ExitDecided", _takes_sales)),
    ),
    Scenario(
        "not open yet",
        "the first shots are refused: not open yet",
        acts=(Act("SnipePlanned", _forbids),),
    ),
    Scenario(
        "halted before the shot",
        "halted while the shot is loaded, then resumed",
        acts=(_asks("OrderSent(b)", "/halt", **WHY), _asks("Halted", "/resume", **WHY)),
    ),
    Scenario(
        "halted and sold",
        "halted with a position, compared with the venue, flattened, resumed",
        own={"snipe": {"time_stop_s": 30}, **OFTEN},
        acts=(
            _asks(OFFERED, "/halt", **WHY),
            _asks("Halted", "/reconcile"),
            _asks("Halted", "/flatten", **WHY),
            _asks("ExitDecided", "/resume", **WHY),
        ),
    ),
    Scenario(
        "armed by hand",
        "armed, taken back, armed again by a person",
        own={"snipe": {"auto_arm": False}},
        acts=(
            _asks("SnipePlanned", "/snipes/{snipe}/arm"),
            _asks("SnipeMoved(ARMED)", "/snipes/{snipe}/disarm"),
            _asks("SnipeMoved(PREFLIGHT)", "/snipes/{snipe}/arm"),
        ),
        opens_s=4.0,
    ),
    Scenario(
        "postponed",
        "the opening moves while the shot is loaded",
        acts=(Act("OrderSent(b)", _postpones),),
    ),
    Scenario(
        "postponed too late",
        "the opening moves after the desk gave up",
        own={"snipe": {"auto_arm": False}},
        acts=(Act("SnipeMoved(MISSED)", _postpones), _asks("SnipeRetimed", "/snipes/{snipe}/arm")),
    ),
    Scenario(
        "withdrawn", "the listing is taken off before its opening",
        acts=(Act("SnipeMoved(ARMED)", _withdraws),), opens_s=12.0,
    ),
    Scenario(
        "handled",
        "a person gives the exit another plan, tunes the strategy, and sells this one",
        own={"snipe": {"time_stop_s": 30}, **OFTEN},
        acts=(
            _asks(OFFERED, "/snipes/{snipe}/exit", preset="aggressive", trailing="0.2", **WHY),
            _asks(OFFERED, "/strategy", parameters={"budget_quote": "40"}, **WHY),
            _asks("StrategySet", "/strategy/reset", **WHY),
            _asks("ExitReplaced", "/sweep", **WHY),
            _asks("ExitReplaced", "/snipes/{snipe}/flatten", **WHY),
            _asks(OFFERED, "/snipes/{snipe}/flatten", **WHY),
            _asks("ExitDecided", "/snipes/{snipe}/abort", **WHY),
        ),
    ),
    Scenario(
        "aborted", "a person gives a loaded shot up",
        acts=(_asks("OrderSent(b)", "/snipes/{snipe}/abort", **WHY),),
    ),
    Scenario(
        "told to stop", "asked to stop while the ladder rests, and started again",
        acts=(Act(OFFERED, _told_to_stop),), stops=True, own=LONG,
    ),
    Scenario(
        "told to sell and stop", "asked to stop where that means to sell",
        acts=(Act(OFFERED, _told_to_stop),), stops=True, own={**LONG, "orders": {"on_stop": "flatten"}},
    ),
    Scenario("embedded", "as plain, on the desk's own Postgres", embedded=True),
)  # fmt: skip
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
