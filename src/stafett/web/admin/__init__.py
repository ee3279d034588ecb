"""The admin: what people see in a browser.

Server-rendered pages that work without script; `static/admin.js` only adds to them (copying, live
lists, dialogs). Every click enters at the same service line as the API and the command line; no
rule lives here. Everything that strangers wrote is text, never markup.

`app` is the way in, `guard` says who may, `pages` lists every page, `render` writes HTML, and each
`view_…` file holds the pages of one noun.
"""
