-- What format 1 made on a PostgreSQL server.
CREATE TABLE atb_conditions (
    id SERIAL NOT NULL,
    key TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (key)
);
CREATE TABLE atb_meta (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE atb_campaigns (
    id SERIAL NOT NULL,
    key TEXT NOT NULL,
    label TEXT NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    space TEXT NOT NULL,
    seed BIGINT NOT NULL,
    launches INTEGER NOT NULL,
    sentinel TEXT NOT NULL,
    conditions_id INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (label),
    FOREIGN KEY(conditions_id) REFERENCES atb_conditions (id)
);
CREATE TABLE atb_blocks (
    id SERIAL NOT NULL,
    campaign_id INTEGER NOT NULL,
    architecture TEXT NOT NULL,
    launch INTEGER NOT NULL,
    block INTEGER NOT NULL,
    readings TEXT NOT NULL,
    sentinel_before TEXT,
    sentinel_after TEXT,
    artefact_sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (campaign_id, architecture, launch, block),
    FOREIGN KEY(campaign_id) REFERENCES atb_campaigns (id)
);
CREATE TABLE atb_failures (
    id SERIAL NOT NULL,
    campaign_id INTEGER NOT NULL,
    architecture TEXT,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(campaign_id) REFERENCES atb_campaigns (id)
);
CREATE TABLE atb_sessions (
    id SERIAL NOT NULL,
    campaign_id INTEGER NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    within DOUBLE PRECISION,
    PRIMARY KEY (id),
    FOREIGN KEY(campaign_id) REFERENCES atb_campaigns (id)
);
INSERT INTO atb_meta VALUES ('kind', 'profile-database'), ('format', '1');
