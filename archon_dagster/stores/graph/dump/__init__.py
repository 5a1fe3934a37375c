"""Memgraph's ``DUMP DATABASE``: written beside every backup of a Memgraph, and read wherever it comes from.

==============  ================================================================================================
``artifact``    writes the rows of ``DUMP DATABASE`` into a backup, in the transaction the graph is exported in
``unwrapping``  finds out what a file is (statements, ``mgconsole``'s table, CSV) and hands out lines of statements
``splitting``   cuts text into statements, in bounded memory, minding quotes
``literals``    the grammar of property values: tokens and recursive descent, into the values of a graph export
``statements``  one statement into a node, a relationship or a schema object (``schema_statements``)
``reading``     a whole file: schema, nodes, relationships
``importing``   a file into a graph export, and the report of what was in it and what was not
==============  ================================================================================================

A dump is replayed nowhere: what it says is read, and loaded like any other backup.
"""
