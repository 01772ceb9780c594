"""Strategies: which there are, what is in force, and other parameters for the plans to come."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mexclab.commands.common import AsJson, ConfigFile, WhyOption, as_json, desk_of, said, settings_of
from mexclab.commands.tables import Column, facts, moment_utc, table
from mexclab.errors import ParameterError

app = typer.Typer(
    help="Strategies and their parameters; plans that are made keep theirs.", no_args_is_help=True
)


@app.command("list")
def list_(json: AsJson = False, config: ConfigFile = None) -> None:
    """Installed strategies, and presets that can be imported. Needs no desk."""
    from mexclab.strategies.presets import preset_files
    from mexclab.strategies.registry import installed

    settings = settings_of(config)
    known = installed(settings.snipe)
    presets = {name: str(path) for name, path in preset_files(settings.data).items()}
    if json:
        rows = [{"name": each.name, "origin": each.origin, "fault": each.fault} for each in known]
        typer.echo(as_json({"strategies": rows, "presets": presets}))
        return
    columns = (Column("strategy"), Column("from"), Column("fault", may_shrink=True))
    typer.echo(table(columns, [(each.name, each.origin, each.fault) for each in known]))
    typer.echo(f"presets: {', '.join(presets) or 'none'}; `mexclab strategy import NAME` puts one in force")


@app.command()
def show(json: AsJson = False, config: ConfigFile = None) -> None:
    """The strategy in force on the running desk, with the range of each parameter."""
    told = desk_of(config).strategy()
    if json:
        typer.echo(as_json(told))
        return
    head = {
        "strategy": told["name"],
        "set by": told["by"],
        "since": moment_utc(told["since_ns"]),
        "why": told["why"],
        "fault": told["fault"],
    }
    columns = (Column("parameter"), Column("value"), Column("default"), Column("allowed"),
               Column("what it is", may_shrink=True))  # fmt: skip
    values = told["parameters"]
    rows = [
        (row["name"], values.get(row["name"], ""), row["default"], row["range"] or row["type"], row["help"])
        for row in told["ranges"]
    ]
    typer.echo(f"{facts(head)}\n\n{table(columns, rows)}")


@app.command("set")
def set_(
    parameter: Annotated[list[str], typer.Argument(help="NAME=VALUE, repeatable.", metavar="NAME=VALUE...")],
    why: WhyOption,
    config: ConfigFile = None,
) -> None:
    """Change parameters of the running desk's strategy; plans made from now on follow them."""
    parameters = _pairs(parameter)
    typer.echo(said(desk_of(config).tune(parameters, why)))


@app.command()
def reset(why: WhyOption, config: ConfigFile = None) -> None:
    """Give the strategy back to the settings."""
    typer.echo(said(desk_of(config).reset_strategy(why)))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The preset file (TOML) to write.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a file that is there.")] = False,
    config: ConfigFile = None,
) -> None:
    """Write the parameters in force on the running desk to a preset file."""
    from mexclab.strategies.presets import export_preset

    told = desk_of(config).strategy()
    written = export_preset(path, told["name"], told["parameters"], replace=replace)
    typer.echo(f"{told['name']}: {len(told['parameters'])} parameters written to {written}")


@app.command("import")
def import_(
    preset: Annotated[str, typer.Argument(help="A preset file (TOML), or the name of a preset.")],
    why: WhyOption,
    config: ConfigFile = None,
) -> None:
    """Put a preset in force on the running desk."""
    from mexclab.strategies.presets import find_preset, import_preset

    path = Path(preset)
    named = path.suffix == "" and not path.exists()
    found = find_preset(settings_of(config).data, preset) if named else import_preset(path)
    typer.echo(said(desk_of(config).tune(dict(found.parameters), why, strategy=found.strategy)))


def _pairs(words: list[str]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise ParameterError(f"{word!r} is not NAME=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs
