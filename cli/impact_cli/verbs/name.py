"""`impact name`: what users, teams and keys are called, and who pays for them."""

from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import click

from impact.naming import ID_FIELDS, KEY, TEAM, USER, Kind, Name, id_problem, name_problems
from impact_cli.output import note, show, with_format
from impact_cli.table import NAME_COLUMNS, NONE, table, text, visible
from impact_cli.target import Target, with_target

if TYPE_CHECKING:
    from impact.types import Item

COLUMNS = ("kind", "id", "name", "costCentre", "recordedAt")
PROBLEMS_SHOWN = 20
A_KIND = click.Choice(tuple(ID_FIELDS))


@click.group()
def command() -> None:
    """Name users, teams and keys, with a cost centre. Needs AWS credentials.

    Tables, exports and the API show the name beside the id. It is kept apart from the requests, and no figure
    depends on it: it may change at any time, for days that are long over too.

    \b
    Examples:
      impact name user 65f1c0de65f1c0de65f1c0de "Alice Example" --cost-centre 4711
      impact name import names.csv --dry-run
    """


def _sets_a_name(kind: Kind, field: str, example: str) -> None:
    """Add the command that names ids of a kind. `field` is that of an event."""

    @command.command(
        kind,
        short_help=f"name a {kind}",
        help=f"Call the {kind} ID (`{field}` of a request) NAME. Needs AWS credentials.\n\n"
        "It replaces an earlier name, and its cost centre. An id that begins with a dash comes after `--`,"
        " and options before that.\n\n"
        f"\b\nExamples:\n  impact name {kind} {example}\n"
        f'  impact name {kind} --cost-centre 4711 -- -x "A name"',
    )
    @click.argument("id_", metavar="ID")
    @click.argument("name", metavar="NAME")
    @click.option("--cost-centre", metavar="TEXT", help="Who pays: up to 64 characters.")
    @with_target
    def set_name(id_: str, name: str, cost_centre: str | None, target: Target) -> None:
        from impact_cli.deployed_stack import existing, store_of

        given = Name(name, cost_centre or None)
        problems = {"id": id_problem(kind, id_), **name_problems(given)}
        for part, problem in problems.items():
            if problem:
                raise click.UsageError(f"The {part.replace('_', ' ')} {problem}.")
        session = target.session()
        names = store_of(session, target.stack).names
        with existing(session, target.stack):
            before = names.get(kind, id_)
            names.put(kind, id_, given, datetime.now(UTC))
        print(f"The {kind} {visible(id_)} is called {_shown(given)}.")
        if before and before != given:
            print(f"Before: {_shown(before)}.")


_sets_a_name(USER, ID_FIELDS[USER], '65f1c0de65f1c0de65f1c0de "Alice Example"')
_sets_a_name(TEAM, ID_FIELDS[TEAM], '2d1f7c1e-5a1b-4d0c-9c55-0f3a6f1b8a77 "Marketing"')
_sets_a_name(KEY, ID_FIELDS[KEY], 'librechat-prod "LibreChat"')


@command.command("list", short_help="list names")
@click.argument("kind", type=A_KIND, required=False)
@with_format
@with_target
def list_(kind: Kind | None, form: str, target: Target) -> None:
    """List the names, of one KIND or of all. Needs AWS credentials.

    \b
    Examples:
      impact name list
      impact name list team --json
    """
    from impact_cli.deployed_stack import existing, store_of

    session = target.session()
    names = store_of(session, target.stack).names
    with existing(session, target.stack):
        rows: list[Item] = [
            {"kind": of, "id": id_, **name.as_fields(), "recordedAt": name.recorded_at}
            for of in ([kind] if kind else ID_FIELDS)
            for id_, name in names.all(of)
        ]
    columns = {
        "kind": text("kind"),
        "id": text("id"),
        "name": text("name", NAME_COLUMNS),
        "cost centre": text("costCentre", NAME_COLUMNS),
        "recorded at": lambda row: str(row["recordedAt"])[:19],
    }
    show(
        form,
        document=lambda: rows,
        records=lambda: rows,
        columns=COLUMNS,
        table=lambda: table(rows, columns, left=len(columns)) if rows else f"{NONE} no names",
    )


@command.command(short_help="delete a name")
@click.argument("kind", type=A_KIND)
@click.argument("id_", metavar="ID")
@with_target
def remove(kind: Kind, id_: str, target: Target) -> None:
    """Delete the name and the cost centre of ID. Needs AWS credentials.

    \b
    Examples:
      impact name remove team 2d1f7c1e-5a1b-4d0c-9c55-0f3a6f1b8a77
      impact name remove user -- -rf         # an id that begins with a dash
    """
    from impact_cli.deployed_stack import existing, store_of

    if problem := id_problem(kind, id_):
        raise click.UsageError(f"The id {problem}.")
    session = target.session()
    with existing(session, target.stack):
        was_there = store_of(session, target.stack).names.delete(kind, id_)
    print(f"The {kind} {visible(id_)} " + ("has no name any more." if was_there else "had no name."))


@command.command("import", short_help="name many, from a file")
@click.argument("file", type=click.File("rb"))
@click.option("--librechat", is_flag=True, help="FILE is mongoexport's, of LibreChat's users.")
@click.option("--dry-run", is_flag=True, help="Check the file and say what would change.")
@with_target
def import_(file: IO[bytes], librechat: bool, dry_run: bool, target: Target) -> int:
    """Store the names of FILE, or of standard input (-). Needs AWS credentials.

    FILE is CSV with the header kind,id,name,cost_centre; a kind is user, team or key. All rows are checked
    before the first one is stored. Names that are not in the file stay as they are.

    With --librechat it is what mongoexport wrote of the collection `users`, as CSV or as lines of JSON
    (docs/librechat.md): a user is called by `name`, else by `username`, and keeps the cost centre that is
    stored. E-mail addresses are not taken.

    \b
    Examples:
      impact name import names.csv --dry-run
      impact name import --librechat users.json
    """
    from impact_cli.deployed_stack import existing, store_of
    from impact_cli.name_file import read_librechat, read_names
    from impact_cli.name_import import WORKERS, changes_of, store_changes

    read = (read_librechat if librechat else read_names)(file.read())
    if read.problems:
        for problem in read.problems[:PROBLEMS_SHOWN]:
            note(visible(f"{file.name}, {problem}"))
        if len(read.problems) > PROBLEMS_SHOWN:
            note(f"... and {len(read.problems) - PROBLEMS_SHOWN:,} more.")
        raise click.ClickException("Nothing was stored. Mend the file, and import it again.")
    session = target.session()
    store = store_of(session, target.stack, connections=WORKERS)
    with existing(session, target.stack):
        changes = changes_of(store, read.rows, keep_cost_centres=librechat)
        if not dry_run:
            store_changes(store, changes)
    print(f"{'It would be' if dry_run else 'Stored'}: {changes}.")
    if read.unnamed:
        print(f"{read.unnamed:,} users of LibreChat have no name.")
    return 0


def _shown(name: Name) -> str:
    centre = f", cost centre {visible(name.cost_centre)}" if name.cost_centre else ""
    return visible(name.name) + centre
