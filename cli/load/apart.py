"""Runs a load in a process of its own, so that it shares no interpreter lock with whoever asked for it."""

import multiprocessing
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import ParamSpec, TypeVar

from store.errors import Broken

P = ParamSpec("P")
T = TypeVar("T")

_TICK_S = 0.1


class LoadFailed(Broken):
    kind = "load-failed"
    title = "The load could not be made"


def run_apart(
    function: Callable[P, T], timeout_s: float, tick: Callable[[float], None] | None, *args: P.args, **kwargs: P.kwargs
) -> T:
    """`function(*args, **kwargs)`, all of which must be picklable, ended for good after `timeout_s`.

    tick: called every tenth of a second with the seconds that have passed. Raises LoadFailed with what went wrong.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks and the event loop
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, function, args, kwargs), daemon=True)
    process.start()
    theirs.close()
    began = time.monotonic()
    try:
        while not ours.poll(_TICK_S):
            passed_s = time.monotonic() - began
            if passed_s > timeout_s:
                raise LoadFailed(f"the load was not over after {timeout_s:g} s and was ended")
            if tick is not None:
                tick(passed_s)
        found: T
        found, problem = ours.recv()
    except EOFError:
        raise LoadFailed("the process that makes the load died") from None
    finally:
        ours.close()
        process.kill()
        process.join()
    if problem is not None:
        raise LoadFailed(problem)
    return found


def _work(pipe: Pipe, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    outcome: tuple[object, str | None]
    try:
        outcome = (function(*args, **kwargs), None)
    except OSError as error:  # nobody listens
        outcome = (None, str(error))
    except Exception:  # told to whoever started this process, with its trace
        outcome = (None, traceback.format_exc())
    pipe.send(outcome)
