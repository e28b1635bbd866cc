"""The ``stackferry`` command: its table of contents, and what its exit codes mean.

0 all is well · 1 some resources failed, conflict or were skipped · 2 the input or the command line makes no sense
3 the broker, a service or a cloud can't be reached · 4 a migration needs a person · 130 interrupted
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from amqp.exceptions import AccessRefused, NotFound
from stackferry import __version__
from stackferry.errors import BrokerUnavailable, Error, InvalidDocument, NoAnswer, Unconfirmed, Unroutable

from . import output
from .commands import bridge, cleanup, clients, clouds, data, dead_letters, hosts, local, migrations, scale, status
from .hosts.connections import CloudUnavailable
from .local.stack import ServiceUnavailable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Move tenants between OpenStack clouds.\n\n" + (__doc__ or "").partition("\n\n")[2],
)
LOCAL, DATA, MIGRATIONS = "On this machine", "By files", "Migrations"
app.command(rich_help_panel=LOCAL)(local.up)
app.command(rich_help_panel=LOCAL)(local.down)
app.command(rich_help_panel=LOCAL)(status.status)
app.command(rich_help_panel=LOCAL)(local.uri)
app.command(rich_help_panel=LOCAL)(local.backup)
app.command(rich_help_panel=LOCAL)(local.restore)
app.command(rich_help_panel=LOCAL)(bridge.bridge)
app.add_typer(clouds.app, name="clouds", rich_help_panel=LOCAL)
app.command(rich_help_panel=DATA)(data.export)
app.command(rich_help_panel=DATA)(data.validate)
app.command(rich_help_panel=DATA)(data.plan)
app.command("import", rich_help_panel=DATA)(data.import_)
app.command(rich_help_panel=MIGRATIONS)(migrations.migrate)
app.command(rich_help_panel=MIGRATIONS)(migrations.watch)
app.command("list", rich_help_panel=MIGRATIONS)(migrations.list_)
app.command(rich_help_panel=MIGRATIONS)(migrations.show)
for _action in ("start", "pause", "resume", "cancel", "retry", "cutover", "undo"):
    app.command(_action, rich_help_panel=MIGRATIONS)(getattr(migrations, _action))
app.command(rich_help_panel=MIGRATIONS)(migrations.forget)
app.command("cleanup-source", rich_help_panel=MIGRATIONS)(cleanup.cleanup_source)
hosts.app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(scale.scale)
app.add_typer(hosts.app, name="hosts", rich_help_panel=MIGRATIONS)
app.add_typer(clients.app, name="clients", rich_help_panel=LOCAL)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=MIGRATIONS)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"stackferry {__version__}")
        raise typer.Exit


@app.callback()
def _stackferry(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run; no traceback for what a user can mend."""
    try:
        app()
    except (BrokerUnavailable, NoAnswer, CloudUnavailable, ServiceUnavailable, Unconfirmed, Unroutable) as error:
        _end(error, output.UNAVAILABLE)
    except Error as error:
        _end(error, output.BAD_INPUT)
    except AccessRefused as error:
        text = (
            f"the broker's user in AMQP_URI may not do this; dead-letters needs `operator`, all else `client`: {error}"
        )
        _end(Error(text), output.BAD_INPUT)
    except NotFound:
        _end(
            Error("the broker has no queues of Stackferry: no service has run there yet (`stackferry up`)"),
            output.UNAVAILABLE,
        )
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _end(Error(f"{where}{error.strerror or error}"), output.BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(error: Exception, code: int) -> None:
    for number, line in enumerate(_lines(error)):
        output.errors.print(line if number else f"error: {line}")
    sys.exit(code)


def _lines(error: Exception) -> list[str]:
    """What is wrong, a line each. Only the ends of our own logs have several lines; a name has none."""
    if isinstance(error, InvalidDocument):
        return error.problems
    return str(error).splitlines() if isinstance(error, BrokerUnavailable | ServiceUnavailable) else [str(error)]


if __name__ == "__main__":
    main()
