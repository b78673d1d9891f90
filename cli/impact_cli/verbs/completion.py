"""`impact completion`: the script with which a shell completes commands and options."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Examples:
      impact completion bash > ~/.local/share/bash-completion/completions/impact
      impact completion zsh > "${fpath[1]}/_impact"
      impact completion fish > ~/.config/fish/completions/impact.fish
    """
    completion = get_completion_class(shell)
    assert completion is not None
    print(completion(context.find_root().command, {}, "impact", "_IMPACT_COMPLETE").source())
