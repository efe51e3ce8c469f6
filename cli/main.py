"""The command `driftgate`: finds the command that was asked for, and translates errors into exit codes.

0 ok, 1 refused or failed (one line on stderr says why), 2 wrong usage. What is no DriftgateError is a bug and shows
its traceback.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """A command of the top level, imported only when it is asked for: `driftgate --help` must answer at once."""

    target: str
    """module:name of a Typer app (a group) or of a function (a single command)."""
    help: str
    example: str = ""
    """Of a single command; the commands of a group bring their own."""


COMMANDS: Mapping[str, Entry] = {
    "base": Entry("cli.base_commands:app", "Import, try, approve and retire bases: backbones with room for adapters."),
    "data": Entry(
        "cli.data_commands:app", "Look through training data before anything is trained on it, and compare its states."
    ),
    "train": Entry(
        "cli.train_command:train",
        "Train a new version of a model from a data file, and let the gate judge it.",
        "driftgate train --base minilm --model tickets --data tickets.csv --promote",
    ),
    "advise": Entry(
        "cli.advise_command:advise_command",
        "Say what to train in a situation, why, and what it takes; nothing is trained.",
        "driftgate advise --task text-classification --examples 2000 --similarity medium --compute low",
    ),
    "adapter": Entry("cli.adapter_commands:app", "Bring in adapters that were trained elsewhere with PEFT."),
    "model": Entry("cli.model_commands:app", "Show models, promote, roll back and archive their versions."),
    "run": Entry("cli.run_commands:app", "Show, compare and repeat training runs."),
    "serve": Entry(
        "cli.process_commands:serve",
        "Answer predictions over HTTP until stopped.",
        "driftgate serve --host 127.0.0.1 --port 8080",
    ),
    "bench": Entry(
        "cli.bench_command:bench",
        "Load-test a model on a running server.",
        "driftgate bench tickets --picture latency.svg",
    ),
    "monitor": Entry(
        "cli.process_commands:monitor", "Watch every model for drift until stopped.", "driftgate monitor --once --json"
    ),
    "worker": Entry("cli.process_commands:worker", "Carry out queued training runs until stopped.", "driftgate worker"),
    "up": Entry(
        "cli.up_command:up", "Run serve, monitor and worker on this machine.", "driftgate --home /srv/driftgate up"
    ),
    "drift": Entry("cli.drift_commands:app", "Check a model for drift, and show past checks."),
    "feedback": Entry("cli.feedback_commands:app", "Bring in labels, and take labelled rows out."),
    "keys": Entry("cli.key_commands:app", "Make, list and revoke API keys."),
    "db": Entry("cli.db_commands:app", "Bring the store to the schema of this driftgate, or check it."),
    "demo": Entry("cli.demo_command:demo", "Play the whole loop on made-up support tickets.", "driftgate demo --keep"),
    "doctor": Entry(
        "cli.doctor_command:doctor", "Say what is installed and whether all is in order.", "driftgate doctor"
    ),
}


class Driftgate(TyperGroup):
    """The top level: knows every command by name and help, and imports only the one that is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, known, rest = super().resolve_command(ctx, args)  # refuses an unknown name, with near matches
        return name, known and load_command(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        from store.errors import DriftgateError

        try:
            return super().invoke(ctx)
        except DriftgateError as error:
            from cli.output import report_error

            report_error(ctx, error)
            raise typer.Exit(1) from error


def load_command(name: str) -> Any:
    """The command or group behind a name of the top level."""
    entry = COMMANDS[name]
    module, _, attribute = entry.target.partition(":")
    target = getattr(import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name, help=f"{entry.help}\n\n{function.__doc__ or ''}", epilog=f"Example: {entry.example}")(
            function
        )
    command = typer.main.get_command(target)
    command.name, command.help = name, command.help or entry.help
    return command


app = typer.Typer(
    name="driftgate",
    cls=Driftgate,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from cli.parts import installed_version

        typer.echo(f"driftgate {installed_version()}")
        raise typer.Exit


@app.callback()
def driftgate(
    ctx: typer.Context,
    home: Annotated[
        Path | None, typer.Option(help="Folder that holds everything; instead of DRIFTGATE_HOME.", metavar="PATH")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Serves fine-tuned models, notices drift, retrains, proves the new version and swaps it in."""
    ctx.obj = home


def main() -> None:
    """The entry point of `driftgate` and of `python -m cli.main`."""
    app(prog_name="driftgate")


if __name__ == "__main__":
    main()
