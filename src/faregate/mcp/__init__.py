"""For assistants: the operations as tools of the Model Context Protocol. No rule lives here."""
