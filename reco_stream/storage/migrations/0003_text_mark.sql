-- The text that a vector was made of is told by a number of 63 bits, as on the topic of vectors; all are made again.
TRUNCATE item_embeddings;
ALTER TABLE item_embeddings DROP COLUMN text_hash, ADD COLUMN text_mark bigint NOT NULL;
