"""The gate: lanes that turn many wallet commands into one durable commit. Everything that changes
a balance goes through here, and nothing else may.
"""
