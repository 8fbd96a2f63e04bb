"""The command line: a face that turns words typed in a terminal into engine calls, and carries
the demo with the traffic it replays. No rule of billing and no SQL lives here.
"""
