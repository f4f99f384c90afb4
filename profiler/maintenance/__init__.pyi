from .export import (
    check_output as check_output,
    measurement_rows as measurement_rows,
    raw_rows as raw_rows,
    read_raw as read_raw,
    write_table as write_table,
)
from .inventory import take_inventory as take_inventory
from .merging import (
    Added as Added,
    CampaignRows as CampaignRows,
    add_campaigns as add_campaigns,
    merge as merge,
    read_campaigns as read_campaigns,
)
from .repairing import repair as repair
