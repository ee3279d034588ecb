"""The PostgreSQL driver: many processes on many machines share one store.

`server` reaches the database, `adding`, `claiming` and `recording` are the hot verbs, `queue` keeps
what waits, `partitions` the days, `news` tells the other processes; `store` puts them together.
"""
