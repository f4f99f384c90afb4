"""Tables of the profile database.

History of formats:
    1  meta, conditions, campaigns, sessions, blocks with raw iterations, failures
    2  loads; campaigns have a uuid, blocks the moment of their start and the state after them

How an older file becomes one of this format stands in atb/profiler/database/migration.py.
"""

from __future__ import annotations

import sqlalchemy as sa

FORMAT = 2
KIND = "profile-database"

metadata = sa.MetaData()
meta = sa.Table(
    "atb_meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
conditions = sa.Table(
    "atb_conditions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("document", sa.Text, nullable=False),  # JSON of Conditions
)
campaigns = sa.Table(
    "atb_campaigns",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),  # hash of what makes a command the same command
    sa.Column("label", sa.Text, nullable=False, unique=True),  # name, numbered from the second on
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("space", sa.Text, nullable=False),  # empty where architectures were listed
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("launches", sa.Integer, nullable=False),  # before the stop rule asks for more
    sa.Column("sentinel", sa.Text, nullable=False),  # architecture timed next to every block
    sa.Column("conditions_id", sa.ForeignKey("atb_conditions.id"), nullable=False),
    sa.Column("uuid", sa.Text, nullable=False),  # the same in every database that holds it
    sa.Index("atb_campaigns_uuid", "uuid", unique=True),
)
sessions = sa.Table(  # each time that a campaign was begun or resumed
    "atb_sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),  # Unix seconds on the device
    sa.Column("within", sa.Double),
)
blocks = sa.Table(
    "atb_blocks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("launch", sa.Integer, nullable=False),
    sa.Column("block", sa.Integer, nullable=False),
    sa.Column("readings", sa.Text, nullable=False),  # JSON of Block, as are the sentinels
    sa.Column("sentinel_before", sa.Text),
    sa.Column("sentinel_after", sa.Text),
    sa.Column("cache_sentinel", sa.Text),
    sa.Column("artefact_sha256", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # JSON
    sa.Column("state_after", sa.Text),  # JSON; absent where none was taken
    sa.Column("started_at", sa.Double, nullable=False),  # as the readings say, to order by it
    sa.UniqueConstraint("campaign_id", "architecture", "launch", "block"),
    sa.Index("atb_blocks_begun", "campaign_id", "started_at"),
)
loads = sa.Table(  # a killed launch is repeated, and so are its loads
    "atb_loads",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("launch", sa.Integer, nullable=False),
    sa.Column("load_seconds", sa.Double, nullable=False),
    sa.Column("first_seconds", sa.Double, nullable=False),
    sa.Column("memory_bytes", sa.BigInteger),  # absent where the system does not tell
    sa.Column("output_checksum", sa.Double),  # absent where it was no number
    sa.Column("artefact_bytes", sa.BigInteger, nullable=False),
    sa.Column("artefact_sha256", sa.Text, nullable=False),
    sa.Column("providers", sa.Text, nullable=False),  # JSON
    sa.Column("at", sa.Double, nullable=False),  # Unix seconds on the device
    sa.Index("atb_loads_campaign", "campaign_id"),
)
failures = sa.Table(
    "atb_failures",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("atb_campaigns.id"), nullable=False),
    sa.Column("architecture", sa.Text),  # absent where the device itself failed
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
