from . import schema as schema
from .engine import (
    exclusive_transaction as exclusive_transaction,
    snapshot as snapshot,
)
from .reader import ProfileReader as ProfileReader
from .rows import (
    ROW_ERRORS as ROW_ERRORS,
    BadRow as BadRow,
    check_part as check_part,
    check_rows as check_rows,
    check_texts as check_texts,
    row_to_campaign as row_to_campaign,
    row_to_conditions as row_to_conditions,
    shortened as shortened,
    why as why,
)
from .writer import (
    ProfileDatabase as ProfileDatabase,
    enter_campaign as enter_campaign,
    enter_conditions as enter_conditions,
    find_campaign as find_campaign,
)
