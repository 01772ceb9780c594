"""The alarms that :mod:`mexclab.research.correlation_watch` would have raised over a history."""

from __future__ import annotations

import polars as pl

from mexclab.research.correlation import Returns
from mexclab.research.correlation_watch import DEFAULT, BreakOptions, BreakWatch

_UTC = pl.Datetime("us", "UTC")


def breaks(returns: Returns, options: BreakOptions = DEFAULT) -> pl.DataFrame:
    """Every alarm over these returns, by time; each rests on what was known at its bar.

    Returns:
        ts (the close of the bar), symbol, before, recent, drop, peers; see
        :class:`mexclab.research.correlation_watch.Break`.

    Raises:
        ParameterError: fewer symbols than make a market.
    """
    watch = BreakWatch(returns.symbols, options)
    rows = [
        (each.at_ns // 1000, each.symbol, each.before, each.recent, each.drop, each.peers)
        for at_ns, row in zip(returns.times_ns, returns.values, strict=True)
        for each in watch.see(int(at_ns), row)
    ]
    schema = {
        "ts": pl.Int64, "symbol": pl.String, "before": pl.Float64, "recent": pl.Float64,
        "drop": pl.Float64, "peers": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("ts").cast(_UTC))
