"""The store in one SQLite file, for one server process: start with nothing, lose nothing.

WAL and synchronous=FULL: what is committed survives a power cut. One thread writes and owns the
checkpoints; a few read. A lock file keeps a second server away. The way in is
`stafett.drivers.sqlite.store.SqliteStore`.
"""
