"""What every room may use and what knows no network: errors, files, registry, progress, parsing."""
