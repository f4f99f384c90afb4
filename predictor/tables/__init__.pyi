from .reading import (
    LeftOut as LeftOut,
    Table as Table,
    read_judged_table as read_judged_table,
    read_rows as read_rows,
    read_table as read_table,
)
from .table import (
    Feature as Feature,
    TablePredictor as TablePredictor,
    TableSummary as TableSummary,
    digests_of as digests_of,
    fit_table as fit_table,
    table_bases as table_bases,
    table_basis as table_basis,
)
