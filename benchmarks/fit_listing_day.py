"""Fit the listing-day generator to real listing days and print how well it does.

    python -m benchmarks.fit_listing_day --data DIR [--quick]

Prints the fitted parameters, the table of fitted against real quantiles and, as its last line, one JSON
object whose goals are the errors. ``--data`` names the folder whose subfolders docs/listing-day-fit.md lists.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from mexclab.research.listing_day import FITTED
from mexclab.research.listing_day_fit import Anchors, Fit, fit, fit_table


def read(data: Path) -> tuple[pl.DataFrame, pl.DataFrame, Anchors]:
    """Spot daily bars of true listings, hourly bars of newly traded perpetuals, and the small samples."""
    facts = pl.read_csv(data / "mexc_spot_1d" / "symbols.csv").filter("from_listing")
    daily = pl.read_parquet(data / "mexc_spot_1d" / "mexc_spot_1d.parquet")
    daily = daily.filter(pl.col("symbol").is_in(facts["symbol"].to_list()))
    perps = data / "binance_perp_1h_postlisting"
    fresh = newly_traded(pl.read_csv(perps / "listings.csv"))
    hourly = pl.read_parquet(perps / "first30d_1h.parquet").filter(pl.col("symbol").is_in(fresh))
    return daily, hourly, Anchors(_opening_hours(data), _pump_seconds(data), _trade_quotes(data))


def newly_traded(listings: pl.DataFrame) -> list[str]:
    """Symbols whose perpetual opened together with the coin's first spot market, not years after it.

    Args:
        listings: columns symbol, onboard_ts (Unix seconds), mexc_first and binance_spot_first (ISO dates).
    """
    onboard = pl.from_epoch(pl.col("onboard_ts").cast(pl.Int64)).dt.date()
    lag = {
        c: (onboard - pl.col(c).cast(pl.String).str.to_date()).dt.total_days()
        for c in ("mexc_first", "binance_spot_first")
    }
    fresh = (lag["mexc_first"].abs() <= 1) & (lag["binance_spot_first"].fill_null(0) <= 1)
    return listings.filter(fresh)["symbol"].to_list()


def _opening_hours(data: Path) -> np.ndarray:
    rows = pl.read_csv(data / "mexc_listing_outcomes" / "blowup.csv")
    coins = rows.filter(pl.col("category") == "CRYPTO_NEW")
    return coins["t0Iso"].str.slice(11, 2).cast(pl.Int64).to_numpy()


def _pump_seconds(data: Path) -> np.ndarray:
    """Seconds from each pump_start to the same symbol's next event, where that event is a pump_end."""
    rows = pl.read_csv(data / "mexc_pump_events" / "mexc_futures_pump_events_2025.csv")
    after = pl.all().shift(-1).over("symbol").name.prefix("next_")
    rows = rows.sort("symbol", "event_time_unix").select(pl.all(), after)
    ended = (pl.col("event_type") == "pump_start") & (pl.col("next_event_type") == "pump_end")
    return (
        rows.filter(ended)
        .select(pl.col("next_event_time_unix") - pl.col("event_time_unix"))
        .to_series()
        .to_numpy()
    )


def _trade_quotes(data: Path) -> np.ndarray:
    return pl.read_ipc(data / "trades" / "freqtrade_XRP_ETH-trades.feather")["cost"].to_numpy()


def goals(result: Fit) -> dict[str, float]:
    """Errors in log units; a goal is met where the number is below its limit in docs/listing-day-fit.md."""
    table = result.table.with_columns(size=pl.col("error").abs())

    def worst(prefix: str) -> float:
        return round(float(table.filter(pl.col("statistic").str.starts_with(prefix))["size"].max()), 4)

    medians = table.filter(pl.col("quantile") == 0.5)
    day = medians.filter(pl.col("statistic").str.starts_with("day"))
    noise = table.filter(pl.col("statistic").str.starts_with("day") & (pl.col("noise") > 0))
    return {
        "worst_median_error_listing_day": round(float(day["size"].max()), 4),
        "worst_error_day_high": worst("day high/open"),
        "worst_error_day_low": worst("day low/open"),
        "worst_error_day_close": worst("day close/open"),
        "worst_error_second_day_range": worst("second day"),
        "worst_error_perp_1h_return": worst("perp 1 h close"),
        "worst_error_perp_24h_return": worst("perp 24 h close"),
        "share_of_day_errors_within_two_noise": round(float((noise["size"] < 2 * noise["noise"]).mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds mexc_spot_1d and the others"
    )
    parser.add_argument("--quick", action="store_true", help="check the recorded parameters; do not search")
    options = parser.parse_args()
    daily, hourly, anchors = read(options.data)
    if options.quick:
        result = Fit(FITTED, fit_table(daily, hourly, FITTED, 1000, 21))
    else:
        result = fit(daily, hourly, anchors)
    print(json.dumps(asdict(result.parameters), indent=1, default=str))
    with pl.Config(
        tbl_rows=-1, tbl_hide_dataframe_shape=True, float_precision=3, tbl_hide_column_data_types=True
    ):
        print(result.table)
    print(json.dumps({"benchmark": "fit_listing_day", "goals": goals(result), "peers": {}}))


if __name__ == "__main__":
    main()
