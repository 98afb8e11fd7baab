"""The views of a run for people: the report, figures, and tables for the terminal."""
