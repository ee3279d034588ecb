"""The cold verbs of the Store contract, written once in SQLAlchemy Core for every SQL database.

Each file holds one noun: a mixin whose verbs hand a plain function over a connection to `read` or
`write`. How such a function gets to a connection is the driver's business.
"""
