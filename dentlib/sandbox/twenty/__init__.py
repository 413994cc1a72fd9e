"""A Twenty on this machine, 2.21 or 1.17, true to recorded answers: a real HTTP server on loopback, state in SQLite.

Where to look:

    versions              every way in which 1.17 differs, as data, each with the recorded exchange that shows it
    server                start and stop it, in process or as a program
    app, bodies           routes and bodies; auth, tokens: keys and roles; limiter: the rate limiter, ported exactly
    rest, rest_text       REST for records; graphql: GraphQL for records; operations: what both share
    strict                documents checked by the schema before anything runs, as 1.17 does
    reading, query        pages, counts, related records; filters and orders as SQL
    writing, removing     creates, upserts, updates; deletes, restores, cascades; integrity: unique values, foreign keys
    model                 one object compiled: its checks and how it reads back
    scalars, composites   each field type, with phones, links and richtext
    catalog, metadata_*   objects and fields: rules, changes, options, both APIs; introspect, openapi
    files, paths          uploads to FILES fields with signed links (2.21); files by path (1.17)
    effects, search       timeline rows and workflow runs; the search vector
    faults, snapshot      what goes wrong on demand, on the socket; the whole state, to compare
    prefill               what a new workspace holds

Not here: sign-in, dashboards, running workflows (their runs are recorded as failed, as where code execution is off),
delivery of webhooks, message and calendar sync, merging of records. Requests are answered one after another, so the
race of concurrent upserts on one new key (the real server refuses all but one) can't be seen here.
"""
