"""The generator of the contract: the documents for machines, the client types and the tables.

`make contract` writes the files, and tests/test_contract.py compares them.
"""
