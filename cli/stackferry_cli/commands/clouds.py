"""clouds check: whether the services can use a cloud."""

from __future__ import annotations

from typing import Annotated

import typer
from stackferry.errors import Error

from .. import completing, output
from ..connecting import client
from ..options import Output, place

app = typer.Typer(help="Clouds as the services see them.", no_args_is_help=True)


@app.callback()
def _clouds() -> None:
    """Clouds as the services see them."""


@app.command()
def check(
    clouds: Annotated[
        list[str],
        typer.Argument(help="Names in clouds.yaml; with a project: NAME/PROJECT.", autocompletion=completing.clouds),
    ],
    format_: Output = output.Format.table,
) -> None:
    """Try credentials: as a source by the exporter, as a destination by the importer."""
    rows = []
    with client() as ferry:
        for name in clouds:
            cloud, _, project = name.partition("/")
            for side in ("source", "destination"):
                row: dict[str, object] = {"cloud": name, "as": side}
                try:
                    found = ferry.check(place(cloud, project or None) or cloud, side)
                    row |= {"usable": "yes", "user": found["user"], "project": found["project"]}
                    row |= {"roles": ", ".join(found["roles"])}
                except Error as error:
                    row |= {"usable": "no", "why": str(error)}
                rows.append(row)
    output.show(rows, format_, ("cloud", "as", "usable", "user", "project", "roles", "why"))
    if any(row["usable"] == "no" for row in rows):
        raise typer.Exit(output.SOME_FAILED)
