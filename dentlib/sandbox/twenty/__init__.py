"""A Twenty 2.21 on this machine, true to its recorded answers: a real HTTP server on loopback, its state in SQLite.

Where to look:

    server                start and stop it, in process or as a program
    app, bodies           routes and bodies; auth, tokens: keys and roles; limiter: the rate limiter, ported exactly
    rest, rest_text       REST for records; graphql: GraphQL for records; operations: what both share
    reading, query        pages, counts, related records; filters and orders as SQL
    writing, removing     creates, upserts, updates; deletes, restores, cascades
    model                 one object compiled: its checks and how it reads back
    scalars, composites   each field type, with phones, links and richtext
    catalog, metadata_*   objects and fields: rules, changes, options, both APIs; introspect, openapi
    files, effects        uploads and signed links; timeline rows and workflow runs; search: the search vector
    faults, snapshot      what goes wrong on demand, on the socket; the whole state, to compare
    prefill               what a new workspace holds

Not here: sign-in, dashboards, running workflows (their runs are recorded as failed, as where code execution is off),
delivery of webhooks, message and calendar sync, merging of records. Requests are answered one after another, so the
race of concurrent upserts on one new key (the real server refuses all but one) can't be seen here.
"""
