"""Runs `torture`. Nothing else is here: a forked server looks at the module that was started."""

from __future__ import annotations

if __name__ == "__main__":
    import typer
    from tests.faults.torture import main

    typer.run(main)
