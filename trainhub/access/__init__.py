"""Who a caller is: tokens, keys and revocations."""
