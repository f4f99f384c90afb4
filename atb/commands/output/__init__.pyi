from .console import (
    Progress as Progress,
    complain as complain,
    note as note,
    prepare_streams as prepare_streams,
    print_json as print_json,
    print_line as print_line,
    print_table as print_table,
    progress as progress,
)
from .measurements import (
    note_end as note_end,
    print_listing as print_listing,
    print_measured as print_measured,
)
from .several_processes import refuse_several as refuse_several
