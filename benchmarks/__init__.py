"""How fast Faregate charges, each rate beside a baseline that ran in the same minute on the same
disk, because a rate alone says more about the machine than about the program.

    make bench                        # everything, about ten minutes
    python -m benchmarks --quick      # everything in a minute, for a first look
    python -m benchmarks --help
"""
