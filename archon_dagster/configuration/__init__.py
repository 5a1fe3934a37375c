"""Change the platform's configuration.

::

    variables    every variable of the platform as a table: kind, range, who reads it   -> Variable
    envfile      an ``.env`` file with its lines, and what is wrong with its text       -> EnvFile
    values       is one value what its variable wants
    control_plane what the control plane's own settings say to the variables they read
    rules        do the values go together, and are they fit for production
    validation   all of this on one file, every problem at once                         -> Validation
    live         ask Ollama, Supabase and Qdrant what they make of it
    diff         what changes from one file to another, secrets masked                  -> Difference
    history      the changes that were made, with both files                            -> Record
    journal      what a change is doing, so that one that was killed is noticed
    target       the file itself: read, and replaced in one step
    services     replace the services that read what changed, and wait until they are well
    apply        all of this in order: what ``archon config apply`` and ``undo`` do     -> Change
    watching     has somebody changed the file by hand
"""
