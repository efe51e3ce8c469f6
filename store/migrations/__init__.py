"""Alembic migrations. The revisions are named here too, so that a process can check the schema without alembic."""

SCHEMA_REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision, oldest first; a test compares them with the scripts."""

SCHEMA_HEAD = SCHEMA_REVISIONS[-1]
