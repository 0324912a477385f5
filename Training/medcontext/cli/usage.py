"""What a person reads when a command line cannot be understood: a sentence, as for every other error."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperGroup
from typer.models import ParameterInfo

from medcontext.cli.console import session
from medcontext.errors import InputError, MedContextError

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Base of all that is wrong with a command line; typer exports only this one of them."""

ARGUMENTS = "medcontext.arguments"
"""Key under which a command finds what it was called with."""


class Commands(TyperGroup):
    """Commands that explain in a sentence what of the command line cannot be understood."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        given = ctx.meta[ARGUMENTS]
        try:
            return super().invoke(ctx)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                raise
            refused: MedContextError = refusal(error, given)
        except MedContextError as error:  # of an option that looks at its value itself
            refused = error
        with session("--json" in given):
            raise refused


def refusal(error: Any, given: Sequence[str]) -> InputError:
    """An error of the command line in our words: the option, what was given and what is allowed.

    Args:
        error: as typer raised it.
        given: the command line.
    """
    command = error.ctx.command_path if error.ctx is not None else "medcontext"
    hint = f"See '{command} --help'."
    parameter: Any = getattr(error, "param", None)
    values = [] if parameter is None else _given_values(parameter.opts, given)
    if isinstance(error, typer.BadParameter) and values and error.ctx is not None:
        allowed, wrong = _allowed(error.ctx.command.callback, parameter.name, values)
        if allowed:
            return InputError(f"{parameter.opts[0]} takes {allowed}, not '{wrong}'.", hint)
    if len(missing := _missing(error)) > 1:
        return InputError(f"{command} needs {', '.join(missing[:-1])} and {missing[-1]}.", hint)
    message = error.format_message()
    return InputError(message if message.endswith((".", "?")) else f"{message}.", hint)


def _missing(error: Any) -> list[str]:
    """What a command cannot do without and was not given, where that is the error."""
    if type(error).__name__ != "MissingParameter" or error.ctx is None:
        return []
    lacking = [p for p in error.ctx.command.params if p.required and p.name not in error.ctx.params]
    return [_called(parameter) for parameter in lacking]


def _called(parameter: Any) -> str:
    """``INPUT`` for an argument, ``-m (--model)`` for an option."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper()).removesuffix("...")
    short, *longer = sorted(parameter.opts, key=len)
    return " ".join([short, *(f"({name})" for name in longer)])


def _given_values(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """What an option was given, in ``--name value`` or ``--name=value``."""
    following = [value for name, value in itertools.pairwise(given) if name in names]
    joined = [part.partition("=")[2] for part in given if "=" in part and part.partition("=")[0] in names]
    return following + joined


def _allowed(command: Any, name: str, values: Sequence[str]) -> tuple[str, str]:
    """What a parameter takes in words, and the first value that is something else; empty where nobody knows."""
    kind, info = _declared(inspect.signature(command, eval_str=True).parameters[name].annotation)
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [str(member.value) for member in kind]
        wrong = next((value for value in values if value not in choices), values[-1])
        return f"{', '.join(choices[:-1])} or {choices[-1]}", wrong
    if kind in (int, float):
        number = "a whole number" if kind is int else "a number"
        return f"{number}{_within(info.min, info.max)}", values[-1]
    return "", values[-1]


def _within(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return "" if high is None else f" of at most {high:g}"


def _declared(annotation: Any) -> tuple[Any, ParameterInfo]:
    """The type of a parameter (of one of its values, where it takes several) and how it was declared."""
    info = ParameterInfo()
    if get_origin(annotation) is Annotated:
        annotation, *notes = get_args(annotation)
        info = next(note for note in notes if isinstance(note, ParameterInfo))
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    kind = kinds[0]
    return (get_args(kind)[0] if get_origin(kind) is list else kind), info
