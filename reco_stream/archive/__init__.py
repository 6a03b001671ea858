"""A durable copy of the events topic, in PostgreSQL and in Parquet files; each record once, whatever crashes.

archiver   from the topic to a sink, in a consumer group of its own
record     what is kept of a record
database   rows of `archived_events`, partitioned by day
parquet    files by day, and reading them back
"""
