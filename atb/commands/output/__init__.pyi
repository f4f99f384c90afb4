from .console import (
    Progress as Progress,
    Table as Table,
    prepare_streams as prepare_streams,
    print_error as print_error,
    print_line as print_line,
    print_result as print_result,
    print_status as print_status,
    print_warning as print_warning,
    progress as progress,
    refuse_several as refuse_several,
)
from .measurements import (
    print_end as print_end,
    print_listing as print_listing,
    print_measured as print_measured,
)
from .outcome import print_search as print_search
