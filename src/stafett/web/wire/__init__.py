"""How Stafett's nouns look on the wire: the Svix format, and our fields beside it.

The only place with camelCase: every struct renames its fields, so code never spells one. Old and
new field names of the format are both read and both written; unknown fields are ignored.
"""
