"""A Twenty 2.21 on this machine, true to its recorded answers: a real HTTP server on loopback, its state in SQLite.

Where to look:

    server            start and stop it (in process, or as a program)     app, bodies    routes and bodies
    auth, tokens      keys, roles                                         limiter        the rate limiter, ported exactly
    rest, rest_text   REST for records                                    graphql        GraphQL for records
    operations        what both share: reading, writing, removing         query          filters and orders as SQL
    model             one object compiled: checks and read-back           search         the search vector and its limit
    scalars, composites, phones, links, richtext                          each field type's checks and conversions
    metadata_*        objects and fields: rules, changes, both APIs       catalog        metadata in memory and in the file
    files             both ways of uploading, signed links                effects        timeline rows, workflow runs
    faults            what goes wrong on demand, on the socket            snapshot       the whole state, to compare
    prefill           what a new workspace holds                          introspect, openapi

Not here: sign-in, dashboards, running workflows (their runs are recorded as failed, as where code execution is off),
delivery of webhooks, message and calendar sync, merging of records.
"""
