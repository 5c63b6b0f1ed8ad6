"""One attempt of a foreign trainer in this pod: what the launcher does for it before, meanwhile and afterwards."""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deepseek_runtime.checkpoint.files import bytes_below, is_directory
from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import best
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.clock import now
from deepseek_runtime.contract import Contract, ExitCode, Invalid
from deepseek_runtime.foreign import telling
from deepseek_runtime.foreign.ending import End, judged
from deepseek_runtime.foreign.exporting import export, weights
from deepseek_runtime.foreign.following import Follower
from deepseek_runtime.foreign.layouts import LAYOUTS, Layout
from deepseek_runtime.foreign.placing import Placed, await_placed, output_of, place
from deepseek_runtime.rundir import RunDirectory

OUTPUT_VARIABLE = "DEEPSEEK_OUTPUT"
OUTPUT_LINK = Path("/tmp/deepseek-output")
"""Where the trainer's command says that it writes, in every attempt: a link to the output folder on the volume."""
LOOK_EVERY_S = 2.0
"""Between two looks at folders: long enough for the pause of a writer, short beside any interval of saves."""
TELL_EVERY_S = 1.0
MOST_FAILURES = 30
"""Looks that may fail in a row, about a minute of them, before the attempt ends for want of a volume."""
PLACING_LIMIT_S = 3600.0
"""How long the other nodes wait for rank 0 to verify a checkpoint, where the spec sets no limit."""


def layout_of(name: str) -> Layout:
    """The layout of an adapter's name. Raises Invalid."""
    if name not in LAYOUTS:
        raise Invalid(f"no adapter {name!r} is known: write one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def wanted_steps(environment: Mapping[str, str]) -> int | None:
    """hyperparameters.maxSteps of the training; None where it counts in epochs, or nobody says."""
    try:
        spec = json.loads(environment.get("DEEPSEEK_TRAINING_SPEC") or "{}")
        steps = spec["hyperparameters"]["maxSteps"]
    except (ValueError, KeyError, TypeError):
        return None
    return steps if isinstance(steps, int) and steps > 0 else None


@dataclass
class Keeping:
    """Everything between the launcher and one layout. `follower` is rank 0's, None on other nodes.

    `failure` is what ended the watch over the folders: without it nothing is safe any more, so the launcher ends.
    """

    contract: Contract
    layout: Layout
    run: RunDirectory
    wanted_steps: int | None
    link: Path = OUTPUT_LINK
    look_every_s: float = LOOK_EVERY_S
    follower: Follower | None = None
    failure: BaseException | None = None
    at_stop: int | None = None
    began: int = 0
    _said: telling.Said = field(default_factory=telling.Said)
    _first: tuple[float, int] | None = None
    _beat: str = ""
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _telling: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_heartbeat(self) -> bool:
        """Whether steps are heard of in this pod."""
        return self.layout.log is not None and self.contract.gang.node_rank == 0

    @property
    def volume(self) -> Volume:
        """The training's directory."""
        return Volume(self.contract.checkpoints.root)

    def prepare(self, is_stopped: Callable[[], bool]) -> bool:
        """Puts the output folder where the command looks for it; False when SIGTERM came first. Raises Invalid, OSError."""
        if self.contract.gang.node_rank == 0:
            output: Path | None = self._place()
        else:
            limit = self.contract.start_timeout_s or PLACING_LIMIT_S
            output = await_placed(self.contract, self.volume, limit, is_stopped)
        if output is None:
            return False
        with suppress(FileNotFoundError):
            self.link.unlink()
        self.link.symlink_to(output)
        return True

    def _place(self) -> Path:
        volume = self.volume
        follower = Follower(self.contract, self.layout, volume, Placed(output_of(volume, self.contract.pod_uid)))

        try:
            placed = place(self.contract, self.layout, volume, follower.adopt)
        except Damaged as error:
            raise Invalid(str(error)) from None
        # Retention may have pruned meanwhile: what the follower holds is the later word.
        self.follower, self.began = follower, placed.step
        if not follower.own:
            follower.placed = placed
        self._log(f"the trainer goes on from step {placed.step}" if placed.step else "the trainer begins at step 0")
        self._tell(state="Starting", firstStep=placed.step + 1, exports=[m.step for m in volume.exports()])
        return placed.output

    @property
    def is_over(self) -> bool:
        """Whether the last step is safe already, with the model as an export has it: an attempt may die before its end.

        transformers' Trainer would make one more step of it (tried with 5.19, by ms-swift).
        """
        is_last = self.wanted_steps is not None and self.began >= self.wanted_steps and self.contract.gang.nodes == 1
        return is_last and any(weights(self.volume.step_directory(one.incarnation, one.step)) for one in self._newest())

    def _newest(self) -> tuple[Manifest, ...]:
        """The checkpoint that is safe: one that went on from its last step has nothing of its own."""
        follower = self.follower
        return () if follower is None else (*follower.own[-1:], *follower.placed.ancestors[:1])[:1]

    def begin(self) -> None:
        """Starts the watch over folders and log, on rank 0."""
        if self.follower is None:
            return
        for work, every_s in ((self._follow, self.look_every_s), (self._hear, TELL_EVERY_S)):
            thread = threading.Thread(target=self._repeat, args=(work, every_s), name=work.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """SIGTERM came: from here on a new checkpoint is what the trainer saved because of it."""
        if self.at_stop is None and self.follower is not None:
            self.at_stop = self.follower.step

    def end(self, code: int) -> tuple[int, str | None]:
        """After all workers of this pod have ended: takes what they left, and says what the exit code means.

        Raises OSError, Full and Superseded.
        """
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.failure is not None:
            raise self.failure
        follower = self.follower
        if follower is None:
            return code, None
        self._hear()
        # Nobody writes any more where all ranks were here and ended by themselves; else two looks must be the same.
        is_at_rest = code == ExitCode.COMPLETE and self.contract.gang.nodes == 1
        follower.look(is_at_rest=is_at_rest)
        if not is_at_rest:
            time.sleep(self.look_every_s)
            follower.look()
        end = End(code, self.began, follower.step, self._max_steps(), self.at_stop)
        verdict, message = judged(end)
        last = self._newest()
        if verdict == ExitCode.COMPLETE and last:
            made = export(self.contract, self.volume, last[0], follower.placed.output)
            self._log(
                "no model in Hugging Face's form was left: there is no export" if made is None else f"export {made}"
            )
        self._tell(state="Complete" if verdict == ExitCode.COMPLETE else "Stopping", step=follower.step or None,
                   exports=[m.step for m in self.volume.exports()])  # fmt: skip
        return verdict, message

    def _max_steps(self) -> int | None:
        follower = self.follower
        return self.wanted_steps or self._said.max_steps or (follower.max_steps if follower else None)

    def _follow(self) -> None:
        follower = self.follower
        if follower is not None and follower.look() is not None:
            self._tell()

    def _hear(self) -> None:
        """The log's step is the heartbeat; between steps what grows below the folder is, as a save or an export does."""
        follower = self.follower
        if follower is None or self.layout.log is None:
            return
        output = follower.placed.output
        said = telling.read(output / self.layout.log)
        if said.step is None or said.step <= self.began:
            return  # nothing was learnt in this attempt yet
        if said != self._said:
            self._said = said
            self._tell(state="Training", **said.fields(), **self._rate(said.step))
        beat = f"{said.step} {bytes_below(output)}"
        if beat != self._beat and is_directory(self.run.path):
            self._beat = beat
            self.run.heartbeat_file(0).write_text(beat)

    def _rate(self, step: int) -> Mapping[str, object]:
        self._first = self._first or (time.monotonic(), step)
        since_s, first = self._first
        wanted = self._max_steps()
        if step <= first or wanted is None:
            return {}
        return {"etaSeconds": round((wanted - step) * (time.monotonic() - since_s) / (step - first), 1)}

    def _tell(self, **fields: object) -> None:
        follower = self.follower
        with self._telling:
            known = dict(self.run.progress()) | {"incarnation": self.contract.pod_uid, "updatedAt": now()}
            if (wanted := self._max_steps()) is not None:
                known["maxSteps"] = wanted
            if follower is not None and follower.own:
                healthy = [m for m in (*follower.placed.ancestors, *follower.own) if m.healthy]
                if healthy:
                    newest, top = max(healthy, key=lambda m: m.step), best(healthy, self.contract.checkpoints.best)
                    saved = {"step": newest.step, "time": newest.created_at, "bytes": newest.size_bytes}
                    known["latest"] = {**saved, "seconds": follower.seconds}
                    known["best"] = top.to_json() if top else None
            self.run.publish_progress(known | {name: value for name, value in fields.items() if value is not None})

    def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        failures = 0
        while not self._over.wait(every_s):
            try:
                work()
                failures = 0
            except OSError as error:
                failures += 1  # a volume's bad moment; it is said, and looked at again
                self._log(f"{work.__name__.strip('_')}: {type(error).__name__}: {error}")
                if failures >= MOST_FAILURES:
                    self.failure = self.failure or error
                    return
            except Exception as error:
                self.failure = self.failure or error
                return

    def _log(self, sentence: str) -> None:
        print(f"launcher: {sentence}", file=sys.stderr, flush=True)
