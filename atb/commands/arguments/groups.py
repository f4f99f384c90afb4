"""Options that belong together: a class is a group of them, and a command takes one object of it.

The command line sees every option of a group as one of the command, under the group's heading.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Annotated, Any, ClassVar, Self, TypeVar, dataclass_transform, get_type_hints

from typer import Option

_T = TypeVar("_T")
_OPTION = "option"


def option(*names: str, default: Any, **info: Any) -> Any:
    """A field of `Options` that is an option of the command line.

    Args:
        names: How it is written, such as `--db`; after the field by default.
        default: The value where it is not given.
        info: What `typer.Option` takes.
    """
    return field(default=default, metadata={_OPTION: Option(*names, **info)})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class Options:
    """A group of options; each subclass is a frozen dataclass.

    A field made by `option`, or of a type `Annotated[..., typer.Option(...)]`, is an option; others
    are set in Python alone.

    Attributes:
        panel: Heading of the group in the help.
    """

    panel: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, panel: str) -> None:
        cls.panel = panel
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """A group out of a command's arguments by name."""
        return cls(**{one.name: given[one.name] for one in fields(cls) if one.name in given})


def expand_options(command: Callable[..., _T]) -> Callable[..., _T]:
    """The command with each group of options as the options in it, for Typer to read.

    A default object of a group gives the defaults of its options.

    Args:
        command: Takes some `Options` besides other arguments.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Options]] = {}
    names: dict[str, list[str]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and issubclass(kind, Options):
            expanded = list(_options_of(kind, parameter.default))
            groups[parameter.name] = kind
            names[parameter.name] = [option.name for option in expanded]
            parameters += expanded
        else:
            # as keywords, options with and without a default stand in any order
            parameters.append(parameter.replace(kind=_KEYWORD, annotation=kind))

    @functools.wraps(command)
    def run(**given: Any) -> _T:
        objects = {
            group: kind(**{name: given.pop(name) for name in names[group]})
            for group, kind in groups.items()
        }
        return command(**objects, **given)

    del run.__wrapped__  # whose signature is another
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in parameters}
    return run


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _options_of(group: type[Options], default: Any) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for one in fields(group):
        hint = hints[one.name]
        info = next(iter(getattr(hint, "__metadata__", ())), one.metadata.get(_OPTION))
        if info is None:
            continue
        kind = hint.__origin__ if hasattr(hint, "__metadata__") else hint
        own = copy(info)
        own.rich_help_panel = own.rich_help_panel or group.panel
        value = getattr(default, one.name, one.default)
        yield inspect.Parameter(
            one.name,
            _KEYWORD,
            default=inspect.Parameter.empty if value is MISSING else value,
            annotation=Annotated[kind, own],
        )
