"""What a message changes in a migration, and what is to be asked next. Pure."""
