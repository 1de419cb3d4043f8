"""With what: everything outside the process, behind small protocols."""
