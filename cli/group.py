"""What all command groups have in common."""

import typer


def command_group() -> typer.Typer:
    """A group that shows its help when no command is named; its own help text stands in cli.main.COMMANDS."""
    group = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
    group.callback()(_nothing)  # keeps a group of one command a group
    return group


def _nothing() -> None:
    pass
