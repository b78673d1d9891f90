"""Write docs/cli.md, the reference of the command line, from the commands' own help."""

import argparse
import sys
from collections.abc import Iterator

import click

from impact_cli.main import cli
from local import PROJECT

PAGE = PROJECT / "docs" / "cli.md"
WIDTH = 100
HEAD = """\
# The command line

For operators, and for finance: what `impact` can do, command by command. `make cli-reference` writes this
page from the commands' own help.

    pip install ./cli                # or for one call: uvx --from ./cli impact usage alice
    impact configure                 # once: where the stack is, and its tokens

- **Which stack.** `--profile NAME`, or `IMPACT_PROFILE`, takes a profile of `~/.config/impact/config.toml`
  (`IMPACT_CONFIG` names another file): its URL and tokens, and none from elsewhere. AWS credentials are
  those of its `aws_profile`, else of the environment. In a shell with the `AWS_ENDPOINT_URL` of `.local.env`
  it makes no AWS calls. Without a profile the environment counts: `IMPACT_SERVICE_URL`, `IMPACT_READ_TOKEN`,
  `IMPACT_SERVICE_TOKEN`, `IMPACT_STACK`. `make local` leaves them in `.local.env`. Without those, the profile
  `default` counts. `--stack NAME` takes the profile of that stack. No token is sent to another stack than its
  own, and no command takes one as an argument.
- **What a command needs.** Reading usage needs a read token. What needs AWS credentials says so in its help.
- **Ids** are taken as they are. After `--`, an id may begin with a dash: `impact usage -- -rf`.
- **Output.** Data is on standard output, all else on standard error. Tables are rounded; `--json`, `--jsonl`,
  `--csv` and files have every digit, under the API's field names. In CSV, `'` stands before a text that a
  spreadsheet would run.
- **Days** are `2026-11-23`, `2026-11`, `today`, `yesterday`, `this-month` or `last-month`, in the stack's
  reporting time zone.
- **Exit codes.** 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""


def main() -> int:
    argparse.ArgumentParser(prog="make cli-reference", description=__doc__).parse_args()
    PAGE.write_text(page())
    print(f"Written: {PAGE.relative_to(PROJECT)}")
    return 0


def page() -> str:
    return HEAD + "".join(_sections(cli, ("impact",)))


def _sections(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    yield _section(command, path)
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from _sections(found, (*path, name))


def _section(command: click.Command, path: tuple[str, ...]) -> str:
    context = click.Context(command, info_name=" ".join(path), terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"\n## {' '.join(path)}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
