"""Who may say what: workers by the steps that are theirs, clients by their roles."""
