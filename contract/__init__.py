"""Writes the contract from the code: the documents for machines, client types and tables.

`make contract` writes them, and tests/test_contract.py compares.
"""
