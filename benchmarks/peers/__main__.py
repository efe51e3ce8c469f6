"""`python -m benchmarks.peers`: driftgate and the servers one could pick instead, in interleaved rounds."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.frame import end_servers_on_sigterm
from benchmarks.peers.environments import python_of, versions_in
from benchmarks.peers.model import build_tiny_home, export_plain
from benchmarks.peers.report import (
    Setting,
    as_json,
    as_markdown,
    describe_machine,
    figure_lines,
    own_versions,
    turn_line,
)
from benchmarks.peers.roster import PEERS, VARIANTS, Peer, Variant
from benchmarks.peers.rounds import Contestant, Results, driftgate_up, get_going, measure, peer_up
from benchmarks.peers.workloads import WORKLOADS, Questions, Workload, ask_questions
from benchmarks.precision import DATA, build_sound_home, read_data
from store.errors import DriftgateError

_SEED = 4
_TRAIN_ROWS, _CHECK_ROWS = 6_000, 7_500
"""Of the version that all serve: it has to pass its check, or `auto` is fp32."""


def main() -> None:
    asked = _parse()
    end_servers_on_sigterm()
    ours = asked.variants[0].name if asked.variants else "driftgate"
    results = Results()
    installed = [peer for peer in asked.peers if _install(peer, results)]
    versions = dict.fromkeys(versions_in(python_of(peer.environment), peer.packages) for peer in installed)
    setting = Setting(
        describe_machine(), "; ".join([own_versions(), *versions]), datetime.now(UTC), asked.rounds, asked.seconds
    )
    print(f"machine: {setting.machine}\nversions: {setting.versions}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dg-") as folder:  # short: Ray puts sockets below it
        top = Path(folder)
        for stage in dict.fromkeys(workload.stage for workload in asked.workloads):
            home, model = top / stage / "home", top / stage / "model"
            if stage == "minilm":
                build_sound_home(home, read_data(DATA, train_rows=_TRAIN_ROWS, check_rows=_CHECK_ROWS))
            else:
                build_tiny_home(home)
            export_plain(home, model)
            for workload in (workload for workload in asked.workloads if workload.stage == stage):
                _play(workload, home, model, top, installed, asked, results)
    print("\n".join(figure_lines(results, ours)))
    if asked.json:
        asked.json.write_text(json.dumps(as_json(results, setting, ours), indent=1) + "\n")
    if asked.markdown:
        asked.markdown.write_text(as_markdown(results, setting, ours))


def _play(
    workload: Workload,
    home: Path,
    model: Path,
    top: Path,
    peers: Sequence[Peer],
    asked: argparse.Namespace,
    results: Results,
) -> None:
    """All rounds of one workload, with every server that can be started."""
    questions = ask_questions(model, workload, seed=_SEED)
    clients = [count for count in workload.clients if not asked.clients or count in asked.clients]
    with ExitStack() as stack:
        contestants: list[Contestant] = []
        for variant in asked.variants:
            _bring_up(driftgate_up(variant, home), variant.name, workload, questions, stack, contestants, results)
        for number, peer in enumerate(peers):
            if workload.name in peer.workloads:
                own = top / f"{workload.name}{number}"
                _bring_up(peer_up(peer, model, own), peer.name, workload, questions, stack, contestants, results)
        turns = measure(
            contestants, workload, questions, clients, rounds=asked.rounds, seconds=asked.seconds, results=results
        )
        for turn in turns:
            print(turn_line(turn), flush=True)


def _bring_up(
    server: AbstractContextManager[Contestant],
    name: str,
    workload: Workload,
    questions: Questions,
    stack: ExitStack,
    contestants: list[Contestant],
    results: Results,
) -> None:
    """Start it and get it going; what fails is told and the others go on without it."""
    try:
        with ExitStack() as own:
            contestant = own.enter_context(server)
            get_going(contestant, workload, questions)
            stack.push(own.pop_all())
    except (
        DriftgateError,
        RuntimeError,
        OSError,
    ) as error:  # RuntimeError: of the stage, when driftgate does not start
        results.problems[name] = str(error)
        print(f"{name} is left out: {error}", flush=True)
        return
    contestants.append(contestant)


def _install(peer: Peer, results: Results) -> bool:
    try:
        python_of(peer.environment)
    except DriftgateError as error:
        results.problems[peer.name] = str(error)
        print(f"{peer.name} is left out: {error}", flush=True)
        return False
    return True


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of: %(default)s")
    parser.add_argument("--clients", default="", help="only these counts, such as 1,8,64; all by default")
    parser.add_argument(
        "--servers", default="", help="only those whose name contains one of these, such as litserve,ray"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    asked = parser.parse_args()
    unknown = set(asked.workloads.split(",")) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    asked.workloads = [WORKLOADS[name] for name in asked.workloads.split(",")]
    asked.clients = {int(count) for count in asked.clients.split(",") if count}
    parts = [part.lower() for part in asked.servers.split(",") if part]
    asked.variants = [variant for variant in VARIANTS if _is_meant(variant, parts)]
    asked.peers = [peer for peer in PEERS if _is_meant(peer, parts)]
    return asked


def _is_meant(server: Peer | Variant, parts: Sequence[str]) -> bool:
    return not parts or any(part in server.name.lower() for part in parts)


if __name__ == "__main__":
    main()
