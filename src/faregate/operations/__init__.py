"""What can be asked of Faregate, as values: each operation's method and path, the types of its
query, body and answer, who may do it, and what does it. Every face that takes operations from
outside (REST, MCP) runs from this table, so none can differ from another.
"""
