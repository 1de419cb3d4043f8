"""The truth: schema, SQL, the ledger, and the server itself."""
