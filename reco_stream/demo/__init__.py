"""The demonstration behind `reco demo`: a Kafka, two workers, sample events, recommendations, live events.

run       the whole story, and stopping everything that it started
broker    which Kafka: the given one, Docker's, or a local one
workers   worker processes, their logs, and what to say when one dies
api       the workers' HTTP API, as the demo needs it
show      what is printed
"""


class DemoError(Exception):
    """The demo cannot go on. The message says why and, where there is one, holds the end of a log."""
