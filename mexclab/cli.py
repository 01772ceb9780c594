"""The command line: a thin skin. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mexclab import __version__
from mexclab.commands import (
    desk,
    fetch,
    lake,
    ledger,
    orders,
    portfolio,
    rehearse,
    risk,
    strategy,
    vectors,
    watch,
)
from mexclab.commands.common import ConfigFile, settings_of
from mexclab.errors import MexclabError

if TYPE_CHECKING:
    from mexclab.config import Settings

app = typer.Typer(
    name="mexclab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; every foreseen error is one clear line and its own exit code."""
    try:
        app()
    except MexclabError as error:
        typer.echo(f"mexclab: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mexclab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """A research laboratory and live-trading desk for the MEXC exchange."""


def _observed(config: Path | None = None) -> Settings:
    from mexclab.runtime.observe import configure

    settings = settings_of(config)
    configure(settings.log.format, settings.log.level)
    return settings


@app.command()
def trade(
    config: ConfigFile = None, child: Annotated[bool, typer.Option("--child", hidden=True)] = False
) -> None:
    """Run the trading daemon. Paper by default; stop it with Ctrl-C."""
    from mexclab.daemon.main import trade as run

    run(_observed(config), child)


@app.command()
def demo(
    seed: Annotated[
        int | None, typer.Option(min=0, help="Same seed, same day, same profit; default 7.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=5, max=86_400, help="Wall seconds for the whole day.")] = 70,
    headless: Annotated[bool, typer.Option("--headless", help="No dashboard, no browser.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on standard output.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget an interrupted demo and start anew.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Stay up after the day until Ctrl-C.")
    ] = True,
    config: ConfigFile = None,
) -> None:
    """Play a day of simulated listings: seen, planned, armed, fired, managed, written up."""
    from mexclab.demo import Wishes, play

    play(settings_of(config), Wishes(seed, seconds, headless, as_json, fresh, keep and not headless))


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes any free one.")] = 8790,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int | None, typer.Option(min=0, help="Of the market; default: paper.seed.")] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(
            help="One more account, KEY:SECRET:AMOUNT (in USDT); repeatable. `ps` shows it: no real key."
        ),
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option(help="File of accounts (TOML, chmod 600): shown to nobody.")
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(help="Folder that keeps orders and balances over restarts.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="Fault plan (TOML or JSON): a bad day on purpose.")
    ] = None,
    replay: Annotated[
        list[str] | None,
        typer.Option(help="A pair that follows the lake: NAME, or NAME@60 (faster)."),
    ] = None,
    latency_ms: Annotated[
        int, typer.Option(min=0, max=60_000, help="Median round trip of orders and cancels.")
    ] = 0,
    pair: Annotated[
        list[str] | None, typer.Option(help="An established pair, such as BTCUSDT; repeatable; default: six.")
    ] = None,
    coming: Annotated[int, typer.Option(min=0, max=200, help="More listings; they open when told to.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Listings only, no established pairs.")] = False,
    patient: Annotated[bool, typer.Option("--patient", help="No rate limits.")] = False,
    start_ns: Annotated[int | None, typer.Option(hidden=True)] = None,
    stepped: Annotated[bool, typer.Option("--stepped", hidden=True)] = False,
    child: Annotated[Path | None, typer.Option(hidden=True)] = None,
    config: ConfigFile = None,
) -> None:
    """Serve a MEXC-compatible venue on this machine: REST, streams and listing pages, no key needed."""
    from mexclab.simulate import SimulateWishes
    from mexclab.simulate import simulate as serve

    wishes = SimulateWishes(
        host=host,
        port=port,
        seed=seed,
        accounts=tuple(account or ()),
        account_file=accounts,
        memory=memory,
        faults=faults,
        latency_ms=latency_ms,
        pairs=tuple(pair) if pair else () if quiet else None,
        replays=tuple(replay or ()),
        coming=coming,
        patient=patient,
        start_ns=start_ns,
        stepped=stepped,
        child=child,
    )
    serve(settings_of(config), wishes, typer.echo)


@app.command()
def lab(config: ConfigFile = None) -> None:
    """Open JupyterLab on the notebooks."""
    from mexclab.notebook.launch import run_lab

    run_lab(settings_of(config))


@app.command()
def dash(config: ConfigFile = None) -> None:
    """Serve the Voila dashboards."""
    from mexclab.notebook.launch import run_dash

    run_dash(settings_of(config))


@app.command("config")
def show_config(
    config: ConfigFile = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """Show every setting in force and where it comes from; secrets are masked."""
    from mexclab.config import describe, load_settings

    rows = describe(load_settings(config))
    if as_json:
        typer.echo(json.dumps([{"key": r.key, "value": r.value, "origin": r.origin} for r in rows], indent=2))
        return
    width, shown = max(len(r.key) for r in rows), max(len(r.value) for r in rows)
    for row in rows:
        typer.echo(f"{row.key:<{width}}  {row.value:<{min(shown, 44)}}  {row.origin}")


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="CSV or Parquet files, or folders of them.")],
    symbol: Annotated[str, typer.Option(help="The symbol, for files that do not name it.")] = "",
    interval: Annotated[
        str, typer.Option(help="Bar interval, such as 1m; default: found from the times.")
    ] = "",
    time_unit: Annotated[str, typer.Option(help="auto, s, ms, us, ns or iso.")] = "auto",
    time_is: Annotated[str, typer.Option(help="Whether a bar's time is its open or its close.")] = "open",
    volume_in: Annotated[str, typer.Option(help="Unit of the volume: base or quote.")] = "base",
    column: Annotated[
        list[str] | None, typer.Option(help="Rename: NAME=COLUMN, such as ts=Open time.")
    ] = None,
    fix: Annotated[str, typer.Option(help="What may be mended: sort, dedupe, or both with a comma.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="New values win over bars already there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Bring bars into the lake: checked, idempotent, atomic."""
    from mexclab.importing import ImportWishes, import_with_progress

    wishes = ImportWishes(symbol, interval, time_unit, time_is, volume_in, column or [], fix, replace)
    report = import_with_progress(paths, settings_of(config), wishes)
    typer.echo(json.dumps(report.to_dict()) if as_json else str(report))


@app.command()
def run(
    pipeline: Annotated[str, typer.Argument(help="A pipeline's name, or the path of a notebook.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", help="NAME=VALUE, repeatable.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Run a notebook through papermill: parameters checked first, output kept either way."""
    from mexclab.jobs import run_from_words

    done = run_from_words(pipeline, parameter or [], settings_of(config))
    typer.echo(f"{done.title}: {done.seconds:.1f} s\n{done.output}\n{done.html}")


desk.register(app)
orders.register(app)
portfolio.register(app)
watch.register(app)
app.command()(rehearse.rehearse)
app.add_typer(strategy.app, name="strategy")
app.add_typer(ledger.app, name="ledger")
app.add_typer(risk.app, name="risk")
app.add_typer(fetch.app, name="fetch")
app.add_typer(lake.app, name="lake")
app.add_typer(vectors.app, name="vectors")

vault = typer.Typer(help="API keys, sealed: only the trading process reads them.", no_args_is_help=True)
app.add_typer(vault, name="vault")


class VaultLock(StrEnum):
    """What a vault can be locked by."""

    PASSPHRASE = "passphrase"
    KEYRING = "keyring"


KeyName = Annotated[str, typer.Argument(help="The credential; venue.credential names the one that trades.")]


@vault.command("add")
def vault_add(
    name: KeyName,
    account: Annotated[str, typer.Option(help="Label of the account it belongs to.")] = "main",
    config: ConfigFile = None,
) -> None:
    """Take a key in; the first one makes the vault.

    Everything is typed unseen, or comes as lines of standard input in this order: the vault's passphrase
    (not with vault.passphrase_file or the keyring), the API key, the API secret.
    """
    from mexclab import vaulting

    typer.echo(vaulting.add(settings_of(config), name, account))


@vault.command("list")
def vault_list(
    config: ConfigFile = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """What is in the vault, without anything secret. Standard input: the passphrase."""
    from mexclab import vaulting

    rows = vaulting.listed(settings_of(config))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo("  ".join(f"{name} {value}" for name, value in row.items()))
    if not rows:
        typer.echo("the vault is empty; `mexclab vault add NAME` takes a key in")


@vault.command("rotate")
def vault_rotate(name: KeyName, config: ConfigFile = None) -> None:
    """Replace a key by a new one of the same account.

    Standard input as for `add`: the vault's passphrase, the new API key, the new API secret.
    """
    from mexclab import vaulting

    typer.echo(vaulting.rotate(settings_of(config), name))


@vault.command("rekey")
def vault_rekey(
    to: Annotated[
        VaultLock | None, typer.Option(help="How it is locked from now on; default: as vault.unlock says.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Lock the whole vault anew: another passphrase, or a fresh key in the keyring.

    Standard input: the old passphrase (not with vault.passphrase_file or the keyring), then the new one.
    """
    from mexclab import vaulting

    typer.echo(vaulting.rekey(settings_of(config), to.value if to else ""))


@vault.command("remove")
def vault_remove(name: KeyName, config: ConfigFile = None) -> None:
    """Forget a key. It works until it is deleted at the venue. Standard input: the passphrase."""
    from mexclab import vaulting

    typer.echo(vaulting.remove(settings_of(config), name))


@vault.command("test")
def vault_test(
    name: KeyName,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Ask the venue what the key may do; nothing is traded. Exit code 5: not enough.

    Standard input: the passphrase (not with vault.passphrase_file or the keyring).
    """
    from mexclab.preflight import key_check

    _reported(key_check(settings_of(config), name), as_json)


@app.command()
def preflight(
    symbol: Annotated[str, typer.Argument(help="A pair such as BTCUSDT; none: the account alone.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Whether an order would be taken: key, clock, balance, and with a symbol its rules. Exit code 5: no."""
    from mexclab.preflight import preflight as check

    _reported(check(settings_of(config), symbol), as_json)


def _reported(asked: Any, as_json: bool) -> None:
    typer.echo(json.dumps(asked.to_dict(), indent=2) if as_json else str(asked))
    if not asked.is_green:
        sys.exit(5)


if __name__ == "__main__":
    main()
