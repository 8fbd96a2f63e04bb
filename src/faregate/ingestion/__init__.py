"""How other systems tell of uses: readers of their formats, and the rules that are set for them."""
