"""Telling others what happened: destinations, deliveries, and how they are sent, signed and kept
away from addresses that are none of theirs."""
