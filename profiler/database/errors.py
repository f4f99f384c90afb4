"""The errors of SQLite and PostgreSQL as ours, each a sentence; the one place that knows them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from atb.errors import AtbError, BadFile, InputError, RunError
from atb.text import printable

__all__ = ["translate_errors"]


@contextlib.contextmanager
def translate_errors(location: str) -> Iterator[None]:
    """Turn the database's errors into ours.

    Args:
        location: What the user calls the database.
    """
    try:
        yield
    except IntegrityError as error:
        raise RunError(
            f"Another process wrote the same block to {location}: let one campaign end, "
            "then run the command again."
        ) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _explain(error, location) from error
    except UnicodeDecodeError as error:  # of what SQLite says of a damaged file
        raise BadFile(
            f"{location} is corrupted: restore a copy or choose another with --db."
        ) from error


def _explain(error: Exception, location: str) -> AtbError:
    original = error.orig if isinstance(error, DBAPIError) else error
    text = printable(str(original).strip().partition("\n")[0])
    if "full" in text or "disk I/O" in text or "No space left" in text:
        return RunError(
            f"The disk of {location} is full or failing ({text}): what was measured stays; "
            "free some space and run the command again."
        )
    if "not a database" in text:
        return BadFile(f"{location} is not a profile database: choose another with --db.")
    if "malformed" in text:
        return BadFile(
            f"{location} is corrupted ({text}): restore a copy or choose another with --db."
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return InputError(f"Cannot open {location} ({text}): choose another place with --db.")
    if "locked" in text:
        return RunError(f"{location} is in use by another process: try again when it has ended.")
    what = text or type(error).__name__
    return RunError(f"The database {location} failed ({what}): check that it can be reached.")
