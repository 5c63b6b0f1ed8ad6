"""`python3 -m deepseek_runtime.launcher [--adapter NAME] [-- command …]`: runs the trainer, or a command, under the keeper.

With an adapter the command is one of a trainer that knows nothing of the contract: see `foreign`.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime import termination
from deepseek_runtime.checkpoint.room import Full, writing
from deepseek_runtime.checkpoint.volume import Superseded, Volume
from deepseek_runtime.contract import Contract, ExitCode, Invalid, read_contract
from deepseek_runtime.foreign import examples, tokenizer
from deepseek_runtime.foreign.keeping import OUTPUT_LINK, OUTPUT_VARIABLE, Keeping, layout_of, wanted_steps
from deepseek_runtime.launcher import report
from deepseek_runtime.launcher.keeper import NOTHING_BEGAN, Verdict
from deepseek_runtime.launcher.life import Life
from deepseek_runtime.launcher.preparing import prepare
from deepseek_runtime.launcher.rounds import Restarted
from deepseek_runtime.launcher.server import serve
from deepseek_runtime.launcher.stops import StopRequests
from deepseek_runtime.model_folder.folder import check_files
from deepseek_runtime.rundir import RunDirectory
from deepseek_runtime.spec import read_spec

BUILTIN_TRAINER = (sys.executable, "-m", "deepseek_runtime.trainer")
NOTHING_LEFT = (sys.executable, "-c", "")
"""The command of an attempt that has nothing to learn: its end is judged as any other's."""


@dataclass(frozen=True)
class Asked:
    """What the arguments say: a command, empty for the built-in trainer, and the adapter that keeps it, if any."""

    command: tuple[str, ...]
    adapter: str | None = None


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs one pod of an attempt; returns the exit code of the contract."""
    log = Path(environment.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
    try:
        asked = _asked(arguments)
        contract = read_contract(environment)
        if not asked.command:
            _check_spec(contract, environment)
        return _run(asked, contract, environment, log)
    except Invalid as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        termination.write(termination.Termination("Invalid", str(error)), log)
        return ExitCode.INVALID


def _asked(arguments: Sequence[str]) -> Asked:
    match list(arguments):
        case []:
            return Asked(())
        case ["--", *command]:
            return Asked(tuple(command))
        case ["--adapter", name, "--", first, *rest]:
            layout_of(name)
            return Asked((first, *rest), name)
        case [first, *_]:
            raise Invalid(
                f"unknown argument {first!r}; write -- and then the command, with --adapter NAME before it for a trainer that "
                "saves in its own way, or nothing for the trainer"
            )
    raise AssertionError(arguments)


def _check_spec(contract: Contract, environment: Mapping[str, str]) -> None:
    batch = read_spec(environment.get("DEEPSEEK_TRAINING_SPEC", "")).hyperparameters.global_batch_size
    world = contract.gang.world_size
    if batch % world:
        raise Invalid(
            f"hyperparameters.globalBatchSize {batch} can't be divided over {world} processes;"
            f" write {max(1, batch // world) * world} or {(batch // world + 1) * world}"
        )


def _run(asked: Asked, contract: Contract, environment: Mapping[str, str], log: Path) -> int:
    stops = StopRequests()
    print(f"launcher: {_who(contract)}", file=sys.stderr, flush=True)
    run = RunDirectory.create()
    try:
        if stops.is_pending:
            return _ended(NOTHING_BEGAN, contract, run, log)
        if contract.gang.node_rank == 0:
            with writing(contract.checkpoints.root, "a file of this attempt"):
                prepare(Volume(contract.checkpoints.root), contract)
        keeping = _keeping(asked, contract, run, environment)
        if keeping is not None and not keeping.prepare(lambda: stops.is_pending):
            return _ended(NOTHING_BEGAN, contract, run, log)
        command = asked.command or BUILTIN_TRAINER
        if keeping is not None and keeping.is_over:
            print("launcher: the last step is safe, and nothing is left to learn", file=sys.stderr, flush=True)
            command = NOTHING_LEFT
        life = Life(command, not asked.command, keeping, stops, contract, run, environment)
        _serve(contract, life)
        verdict = life.lead()
        if verdict.code == ExitCode.FULL and contract.gang.node_rank == 0:
            # What was half written takes the room of whoever comes to look, and of the next attempt's first file.
            Volume(contract.checkpoints.root).clear({contract.pod_uid})
        return _ended(verdict, contract, run, log, life.restarted)
    except Superseded as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        termination.write(termination.Termination("Failed", str(error)), log)
        return 1
    except Full as error:
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        termination.write(termination.Termination("Full", str(error)), log)
        return ExitCode.FULL
    except OSError as error:
        termination.write(termination.Termination("Failed", f"{type(error).__name__}: {error}"), log)
        raise
    finally:
        shutil.rmtree(run.path, ignore_errors=True)


def _keeping(asked: Asked, contract: Contract, run: RunDirectory, environment: Mapping[str, str]) -> Keeping | None:
    """What keeps a trainer of another's making, once it reads the model's files, and its tokenizer right; rank 0's node looks
    at what is to be learnt from."""
    if asked.adapter is None:
        return None
    if folder := environment.get(tokenizer.VARIABLE):
        check_files(Path(folder))
    tokenizer.check(environment)
    if contract.gang.node_rank == 0:
        examples.check(environment)
    link = Path(environment.get(OUTPUT_VARIABLE) or OUTPUT_LINK)
    return Keeping(contract, layout_of(asked.adapter), run, wanted_steps(environment), link)


def _ended(
    verdict: Verdict, contract: Contract, run: RunDirectory, log: Path, restarted: Restarted | None = None
) -> int:
    termination.write(report.termination(contract, run, verdict, restarted), log)
    print(f"launcher: {verdict.message}; exit code {int(verdict.code)}", file=sys.stderr, flush=True)
    return verdict.code


def _who(contract: Contract) -> str:
    """Whose log this is: logs outlive their pods, and are read beside those of others."""
    place = f"node {contract.gang.node_rank} of {contract.gang.nodes}"
    return f"attempt {contract.attempt} of training {contract.namespace}/{contract.name}, {place}"


def _serve(contract: Contract, life: Life) -> None:
    def told() -> dict[str, object]:
        return report.progress(contract, life.run, life.restarted, stopping=life.stops.is_pending)

    try:
        server = serve(contract.progress_port, told)
        print(f"launcher: progress on port {server.server_address[1]}", file=sys.stderr, flush=True)
    except OSError as error:
        # Display only: a taken port must not stop a training.
        print(f"launcher: no progress endpoint on port {contract.progress_port}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
