"""Why nothing was fetched, each with an exit code of its own: its operator tells a source that nobody can read from one
that will be there again. 64 and 73 are the runtime's (`contract.ExitCode`); the others are of sysexits.h."""

from deepseek_runtime.contract import ExitCode


class Failure(Exception):
    """The message is a sentence for a person; another try begins where this one ended."""

    code: int = 1


class NotThere(Failure):
    """Nobody can fetch this: the source's name is wrong, or what is there is not what was asked for."""

    code = int(ExitCode.INVALID)


class Corrupt(Failure):
    """EX_DATAERR: what came, twice, is not what was promised."""

    code = 65


class Unavailable(Failure):
    """EX_UNAVAILABLE: the source does not answer, or with an error of its own."""

    code = 69


class NoRoom(Failure):
    """The claim has not as much room left as the source takes."""

    code = int(ExitCode.FULL)


class Refused(Failure):
    """EX_NOPERM: the source answers that it is not for this token, or for nobody without one."""

    code = 77


class NotAllowed(Failure):
    """EX_CONFIG: the source, or where it sends its readers, is none that the administrator allows."""

    code = 78


class Interrupted(Exception):
    """It broke off, or the server is in trouble of its own: another try may go on. `wait_s`: asked for by the server."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s
