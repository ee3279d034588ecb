"""Moves a whole installation from a SQLite file to a PostgreSQL database.

The source is only read. How far each table has come is noted in the target by the transaction that
writes the rows, so a copy that was killed goes on where it was and writes no row twice. In the end
both sides are read again and compared.
"""
