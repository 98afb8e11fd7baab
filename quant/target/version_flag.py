"""The flag by which a user names the version or the chip that a target's files are for."""

__all__ = ["VersionFlag"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quant.common.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFlag:
    """A target's own option on the command line, and the values that it takes.

    Attributes:
        target: Name of the target: the key of the value in `Job.versions` and `Deployment.versions`.
        flag: The flag on the command line: "--trt-version".
        default: The value where none is given.
        help: One line for the help of the commands that take it.
        metavar: What stands for the value in that help.
        choices: The only values; () for any that `check` takes.
        check: Raises an InputError for a value that is none; None takes any text.
    """

    target: str
    flag: str
    default: str
    help: str
    metavar: str = "V"
    choices: tuple[str, ...] = ()
    check: Callable[[str], object] | None = None

    def of(self, versions: Mapping[str, str]) -> str:
        """Return this target's version of a mapping by target name, or the default.

        Raises:
            InputError: It is no version of the target.
        """
        return self.checked(versions.get(self.target, self.default))

    def checked(self, text: str) -> str:
        """Return the text.

        Raises:
            InputError: It is no version of the target.
        """
        if self.choices and text not in self.choices:
            raise InputError(
                f"{self.flag}: must be one of {', '.join(self.choices)}, saw '{text}'. Choose one."
            )
        if self.check is not None:
            self.check(text)
        return text
