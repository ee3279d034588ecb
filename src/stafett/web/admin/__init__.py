"""The admin: what people see in a browser.

Server-rendered pages that work without script. htmx fetches parts of them, and `static/admin.js`
does what it has no attribute for. Every click enters at the same service line as the API and the
command line; no rule lives here. Everything that strangers wrote is text, never markup.

`app` is the way in, `guard` says who may, `pages` lists every page, `render` writes HTML, and each
`view_…` file holds the pages of one noun.
"""
