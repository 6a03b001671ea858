"""What can go wrong in the engine, one line a fact.

EngineError
    Fenced               a newer owner has claimed the partition: this process lets it go and joins the group anew
    ChangelogUnavailable Kafka took no changelog batch for longer than the budget
    ChangelogRefused     Kafka refuses our batches and will do so again: rights, or a setting of the topic
    ChangelogCorrupt     the changelog holds something that no owner of ours can have written
    BatchTooLarge        the rows of one micro-batch do not fit one RecordBatch
    FingerprintMismatch  the stored rows were folded under other schemas or settings
    LogTruncated         the source log no longer holds the next event to apply
    StoreFailed          RocksDB could not read or write a partition
        StoreDamaged     its files are damaged: they are deleted at the next start, and built anew from the changelog
        StoreLocked      another process has it open
"""

# sysexits.h: 75 "temporary failure" for what a restart mends, 78 "configuration error" for a refusal
EXIT_RESTART = 75
EXIT_REFUSED = 78
EXIT_FAILED = 70


class EngineError(Exception):
    """Base of every error that the engine raises on purpose."""

    exit_code = EXIT_FAILED


class Fenced(EngineError):
    pass


class ChangelogUnavailable(EngineError):
    exit_code = EXIT_RESTART


class ChangelogRefused(EngineError):
    exit_code = EXIT_REFUSED


class ChangelogCorrupt(EngineError):
    pass


class BatchTooLarge(EngineError):
    pass


class FingerprintMismatch(EngineError):
    exit_code = EXIT_REFUSED


class LogTruncated(EngineError):
    exit_code = EXIT_REFUSED


class StoreFailed(EngineError):
    pass


class StoreDamaged(StoreFailed):
    exit_code = EXIT_RESTART


class StoreLocked(StoreFailed):
    exit_code = EXIT_REFUSED
