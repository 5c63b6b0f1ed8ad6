"""One rank of the built-in trainer. The launcher starts it; signals are caught before anything slow is imported."""

import faulthandler
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.room import Full
from deepseek_runtime.contract import Contract, Diverged, ExitCode, Invalid, read_contract
from deepseek_runtime.rundir import HEARTBEAT_VARIABLE, VARIABLE, Heartbeat, RunDirectory
from deepseek_runtime.spec import read_spec

if TYPE_CHECKING:
    from deepseek_runtime.trainer.tracking import Asked, Run, Tracking


class StopFlag:
    """Set by SIGTERM, read between steps."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self, *_: object) -> None:
        self._is_set = True

    def __call__(self) -> bool:
        return self._is_set


def main() -> int:
    """Runs the rank; returns its exit code."""
    stop = StopFlag()
    signal.signal(signal.SIGTERM, stop.set)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    rank = int(os.environ["RANK"])
    run = RunDirectory(Path(os.environ[VARIABLE])) if VARIABLE in os.environ else None
    try:
        return _train(stop, run, rank)
    except Damaged as error:
        # What lies there is as it is: no other attempt finds it whole. What the machine failed to read is no Damaged.
        print(f"trainer: {error}", file=sys.stderr, flush=True)
        _failed(run, rank, str(error), ExitCode.INVALID)
    except Invalid as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        print(f"trainer: {error}", file=sys.stderr, flush=True)
        _failed(run, rank, str(error), ExitCode.INVALID, diverged=isinstance(error, Diverged))
    except Full as error:
        traceback.print_exception(error.__cause__)
        print(f"trainer: {error}", file=sys.stderr, flush=True)
        _failed(run, rank, str(error), ExitCode.FULL)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # errors of torch's checkpoints and panics in Rust are no Exception
        traceback.print_exc()
        _failed(run, rank, f"{type(error).__name__}: {error}", 1)


def _train(stop: StopFlag, run: RunDirectory | None, rank: int) -> int:
    contract = read_contract(os.environ)
    spec = read_spec(os.environ.get("DEEPSEEK_TRAINING_SPEC", ""))
    from deepseek_runtime.trainer.curve import NAME as CURVE_NAME
    from deepseek_runtime.trainer.curve import Curve
    from deepseek_runtime.trainer.gang import Gang
    from deepseek_runtime.trainer.preflight import check_devices, preflight
    from deepseek_runtime.trainer.preparing import prepare
    from deepseek_runtime.trainer.rank import Rank
    from deepseek_runtime.trainer.telling import Telling
    from deepseek_runtime.trainer.tracking import read_tracking

    asked = read_tracking(os.environ)
    check_devices(contract, os.environ)
    gang = Gang.meet(os.environ)
    heartbeat = Heartbeat(Path(os.environ[HEARTBEAT_VARIABLE]) if HEARTBEAT_VARIABLE in os.environ else None)
    speaks = os.environ.get("LOCAL_RANK", "0") == "0"
    place = contract.checkpoints.root / contract.pod_uid / CURVE_NAME
    curve = Curve(place) if gang.is_first else None
    trackings = _trackings(asked, contract, place) if gang.is_first else ()
    telling = Telling(run if speaks else None, gang.is_first, curve, trackings)
    if (passed := preflight(contract, gang, speaks=speaks)) is not None:
        telling.tell(preflight=passed)
        telling.log({"event": "preflight", **passed})
    try:
        code = prepare(Rank(contract, spec, gang, heartbeat, telling, stop)).run()
    finally:
        telling.close()
    gang.part()
    return code


def _trackings(asked: "Asked", contract: Contract, curve: Path) -> "tuple[Tracking, ...]":
    from deepseek_runtime.trainer.mlflow_run import MlflowRun
    from deepseek_runtime.trainer.tensorboard_run import TensorboardRun
    from deepseek_runtime.trainer.tracking import Tracking

    runs: list[Run] = []
    if asked.mlflow is not None:
        runs.append(MlflowRun(asked.mlflow, contract, os.environ["DEEPSEEK_TRAINING_SPEC"]))
    if asked.tensorboard is not None:
        runs.append(TensorboardRun.of(asked.tensorboard, contract))
    # Of one that has started again in its pods, the processes before wrote to the same curve.
    own = curve if contract.restart == 0 else None
    return tuple(Tracking(run, contract.checkpoints.root, own) for run in runs)


def _failed(run: RunDirectory | None, rank: int, message: str, code: int, *, diverged: bool = False) -> NoReturn:
    """Leaves at once: threads that still write or talk to a dead peer would hold the process."""
    if run is not None:
        run.publish_result(rank, {"message": message, "diverged": diverged})
    _leave(code)


def _leave(code: int) -> NoReturn:
    """Ends the process without the interpreter's end: a thread of the gang that lets go of a tensor then would abort it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
