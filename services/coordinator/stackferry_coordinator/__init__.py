"""Plans migrations, sequences their steps over the bus, and remembers everything."""
