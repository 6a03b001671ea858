-- One partition a day of arrival, made by the archiver when its first event comes; retention drops whole days.
CREATE TABLE archived_events (
    topic      text NOT NULL,
    partition  integer NOT NULL,
    "offset"   bigint NOT NULL,
    arrived_at timestamptz NOT NULL,
    key        bytea,
    value      bytea,
    PRIMARY KEY (topic, partition, "offset", arrived_at)
) PARTITION BY RANGE (arrived_at);

-- The next offset to archive. It moves in the transaction that writes the events, which makes a repetition harmless.
CREATE TABLE archive_positions (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
