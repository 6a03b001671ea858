"""Evaluation by time travel: a log is replayed in time order, and asked for each event just before it is applied."""
