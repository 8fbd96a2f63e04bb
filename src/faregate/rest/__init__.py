"""The REST API: translates HTTP into engine calls and back. No rule lives here, and no SQL."""
