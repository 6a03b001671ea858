"""PostgreSQL: migrations, the pool, and what is kept there. The database may be absent, and may die at any time.

migrations/*.sql   numbered, applied once, in order
migrate            applies them under an advisory lock
database           the pool, with statement timeouts; one error for everything that means "not now"
items              the catalogue's rows and their outbox
outbox             committed changes onto the items topic
"""
