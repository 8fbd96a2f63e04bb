"""The command `faregate`: which commands there are. What each does lives in a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

import faregate
from faregate.cli import keys, mcp, operators
from faregate.cli.demo import demo
from faregate.cli.importing import import_
from faregate.cli.mcp_install import install, skills
from faregate.cli.migrate import migrate
from faregate.cli.serve import serve
from faregate.cli.verify import verify
from faregate.cli.worker import worker

app = typer.Typer(
    name="faregate",
    help="Self-hosted, exact billing for AI products.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(faregate.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Self-hosted, exact billing for AI products."""


app.command()(serve)
app.command()(demo)
app.add_typer(keys.app, name="keys")
app.add_typer(operators.app, name="operators")
mcp.app.command()(install)
mcp.app.command()(skills)
app.add_typer(mcp.app, name="mcp")
app.command()(verify)
app.command()(migrate)
app.command("import")(import_)
app.command()(worker)


def main() -> None:
    """Run the command line."""
    app()
