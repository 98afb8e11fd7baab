"""The jobs behind the commands: each runs its stages in order and writes its files."""
