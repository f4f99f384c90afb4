from .reading import (
    LeftOut as LeftOut,
    read_judged_table as read_judged_table,
    read_rows as read_rows,
)
from .table import (
    Feature as Feature,
    Table as Table,
    TablePredictor as TablePredictor,
    TableSummary as TableSummary,
    digests_of as digests_of,
    fit_table as fit_table,
    read_table as read_table,
    table_bases as table_bases,
    table_basis as table_basis,
)
