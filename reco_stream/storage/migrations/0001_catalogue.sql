CREATE TABLE items (
    item_id      text PRIMARY KEY CHECK (octet_length(item_id) BETWEEN 1 AND 256),
    title        text,
    description  text,
    categories   text[] NOT NULL DEFAULT '{}',
    tags         text[] NOT NULL DEFAULT '{}',
    price        double precision CHECK (price >= 0),
    currency     text,
    stock        bigint CHECK (stock >= 0),
    published_at text,
    properties   jsonb NOT NULL DEFAULT '{}',
    hidden       boolean NOT NULL DEFAULT false,
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Changes on their way to the items topic. A row is removed once Kafka has it. The id is drawn while the item's row is
-- locked, so that ids of one item rise in the order of its commits.
CREATE TABLE item_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id    text NOT NULL,
    value      bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE user_attributes (
    user_id    text PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    attributes jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE model_versions (
    name       text NOT NULL,
    version    text NOT NULL,
    parameters bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, version)
);

CREATE TABLE item_embeddings (
    item_id       text PRIMARY KEY,
    model_name    text NOT NULL,
    model_version text NOT NULL,
    text_hash     bytea NOT NULL,
    vector        bytea NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now()
);
