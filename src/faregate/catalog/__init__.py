"""What is sold: assets, products, versions, prices. Few rows, read from memory, changed seldom.
Every change raises the catalog's epoch, which each commit of the ledger checks, so a price that
was published counts for the next charge, in every process.
"""
